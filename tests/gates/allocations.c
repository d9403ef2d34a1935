/* Counts allocations of a process that it is preloaded into: every call of malloc and its kin, and
 * every block that Python's object and memory domains hand out, whether or not it lives on. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct {
    uint64_t heap, python;
} my;

void *malloc(size_t size)
{
    my.heap++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    my.heap++;
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    my.heap++;
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    my.heap++;
    return __libc_memalign(alignment, size);
}

/* As Python's Include/cpython/pymem.h has them since 3.5. */
struct allocator {
    void *user;
    void *(*malloc)(void *user, size_t size);
    void *(*calloc)(void *user, size_t count, size_t size);
    void *(*realloc)(void *user, void *old, size_t size);
    void (*free)(void *user, void *old);
};
enum { DOMAIN_MEM = 1, DOMAIN_OBJ = 2 };
extern void PyMem_GetAllocator(int domain, struct allocator *ret) __attribute__((weak));
extern void PyMem_SetAllocator(int domain, struct allocator *given) __attribute__((weak));

static struct allocator theirs[DOMAIN_OBJ + 1];

static void *on_malloc(void *user, size_t size)
{
    struct allocator *inner = user;
    my.python++;
    return inner->malloc(inner->user, size);
}

static void *on_calloc(void *user, size_t count, size_t size)
{
    struct allocator *inner = user;
    my.python++;
    return inner->calloc(inner->user, count, size);
}

static void *on_realloc(void *user, void *old, size_t size)
{
    struct allocator *inner = user;
    my.python++;
    return inner->realloc(inner->user, old, size);
}

static void on_free(void *user, void *old)
{
    struct allocator *inner = user;
    inner->free(inner->user, old);
}

/* Begin to count Python's blocks as well. */
void allocations_watch(void)
{
    for (int domain = DOMAIN_MEM; domain <= DOMAIN_OBJ; domain++) {
        PyMem_GetAllocator(domain, &theirs[domain]);
        struct allocator ours = {&theirs[domain], on_malloc, on_calloc, on_realloc, on_free};
        PyMem_SetAllocator(domain, &ours);
    }
}

uint64_t allocations_heap(void)
{
    return my.heap;
}

uint64_t allocations_python(void)
{
    return my.python;
}
