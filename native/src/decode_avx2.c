/* The decoder's usual forms for processors with AVX2 and BMI: decode_speculative.c asks first. */
#include "decode_speculative.h"

#if defined(OVR_DECODE_AVX2)
#include <immintrin.h>
#include <string.h>

#include "overround/decimal.h"

/* Behind the headers: what they define keeps the instructions it was written for. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,bmi,bmi2")
#endif

#define OVR_AVX2 1
#include "decode_forms.h"

bool ovr_pm_speculate_avx2(const char *buf, size_t len, struct ovr_pm_batch *out)
{
    bool taken = take_frame(buf, len, out);
    /* The compiler does not clear them on every way out; left as they are, each SSE instruction of
     * the process would wait for the one before that wrote its register. */
    _mm256_zeroupper();
    return taken;
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int nothing_here; /* C wants at least one declaration */
#endif
