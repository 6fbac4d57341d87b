// What crash.c offers, and the cheap clocks with which calls into plugins are measured. The only part
// of CLinux that has code of its own: the rest is shims.

#ifndef CLINUX_CRASH_H
#define CLINUX_CRASH_H

#include "CLinux.h"

// The value of a fault word for a thread that called exit(3); signals are below.
#define CLINUX_CRASH_EXIT 256ull

// Where the lines of threads are, and which of their 64-bit words are meant. All words are aligned, and
// stay mapped until the process has ended.
typedef struct {
    void *lines;          // of the first line
    size_t line_stride;   // bytes from one line to the next
    size_t line_count;
    size_t tid_offset;    // bytes from a line's start to the word with its thread's gettid()
    size_t fault_offset;  // ... to the word that is marked, once: a signal's number or CLINUX_CRASH_EXIT
    uint64_t *stray_fault; // marked, once, in place of a line for a thread that has none
} clinux_crash_page;

// Once per process, before threads are started: from then on SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE and
// SIGABRT, and calls of exit(3) and quick_exit(3), mark the thread that caused them. The action that was
// there before (the Swift runtime's tracer, the default) then has its turn, so that the process ends by
// the same signal. 0 or an error number.
extern int clinux_crash_install(const clinux_crash_page *page);

// An alternate signal stack for the calling thread, without which an overflow of its stack cannot be
// marked. If it has one already, that stays. 0 or an error number. [any thread]
extern int clinux_crash_stack_up(void);
// Gives it back; before the thread ends, and not from a signal handler.
extern void clinux_crash_stack_down(void);

// One word that belongs to the calling thread; NULL until it is set.
extern void *clinux_thread_note(void);
extern void clinux_set_thread_note(void *value);

// A counter that runs at a constant pace on all cores: the time-stamp counter, the generic timer, else
// the monotonic clock. No serialisation: off by the length of the pipeline at most.
static inline uint64_t clinux_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static inline uint64_t clinux_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint64_t clinux_monotonic_ns(void) { return clinux_clock_ns(CLOCK_MONOTONIC); }
// CPU time of the calling thread. A system call.
static inline uint64_t clinux_thread_cpu_ns(void) { return clinux_clock_ns(CLOCK_THREAD_CPUTIME_ID); }
// How often the calling thread was taken off its core while it could have gone on. A system call.
static inline uint64_t clinux_thread_preemptions(void) {
    struct rusage usage;
    if (getrusage(1 /* RUSAGE_THREAD, which hides behind _GNU_SOURCE */, &usage) != 0) return 0;
    return (uint64_t)usage.ru_nivcsw;
}

// Keeps the compiler from moving loads and stores across it; no instruction.
static inline void clinux_compiler_barrier(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

#endif // CLINUX_CRASH_H
