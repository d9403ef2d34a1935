#include "decode_speculative.h"

#include "decode_forms.h"

bool ovr_pm_speculate_base(const char *buf, size_t len, struct ovr_pm_batch *out)
{
    return take_frame(buf, len, out);
}

bool ovr_pm_speculate(const char *buf, size_t len, struct ovr_pm_batch *out)
{
#if defined(OVR_DECODE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        return ovr_pm_speculate_avx2(buf, len, out);
    }
#endif
    return take_frame(buf, len, out);
}
