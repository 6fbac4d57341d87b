// Stands before malloc and its kin in the test process and counts the calls of one thread. glibc's own
// functions do the work under the names it exports for this purpose. A sanitizer has to stand there
// itself: in its builds nothing is counted.

#include "CAllocations.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern long syscall(long, ...);

static _Atomic int32_t watched;
static _Atomic uint64_t count;

#if __has_feature(thread_sanitizer)
bool threads_are_watched(void) { return true; }
#else
bool threads_are_watched(void) { return false; }
#endif

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)

bool allocations_are_counted(void) { return false; }

#else

bool allocations_are_counted(void) { return true; }

static inline void note(void) {
    int32_t thread = atomic_load_explicit(&watched, memory_order_relaxed);
    if (thread != 0 && thread == (int32_t)syscall(SYS_gettid)) atomic_fetch_add(&count, 1);
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}
void *calloc(size_t n, size_t size) {
    note();
    return __libc_calloc(n, size);
}
void *realloc(void *p, size_t size) {
    note();
    return __libc_realloc(p, size);
}
void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    void *p = memalign(alignment, size);
    if (p == NULL) return 12; // ENOMEM
    *out = p;
    return 0;
}

#endif

void allocations_watch(int32_t thread) {
    if (thread == 0) {
        atomic_store(&watched, 0);
        return;
    }
    int32_t nobody = 0;
    while (!atomic_compare_exchange_weak(&watched, &nobody, -1)) {
        nobody = 0;
        sched_yield();
    }
    atomic_store(&count, 0);
    atomic_store(&watched, thread);
}
uint64_t allocations_count(void) { return atomic_load(&count); }
