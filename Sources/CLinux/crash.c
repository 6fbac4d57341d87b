// The crash handler: when a thread is about to end the process, the thread's line in the shared page
// (Balance/CrumbPage.swift) is marked, so that whoever survives can tell inside which plugin it
// happened. It mends nothing and jumps nowhere: the process ends as it would have ended without it, by
// the same signal. In C because a signal handler may run between any two instructions, inside the
// allocator or on the last page of a stack, where nothing of Swift's runtime may be called.

#include "CLinux.h"
#include "CLinuxCrash.h"

#include <errno.h>
#include <stdatomic.h>

// What a signal handler may do is listed in signal-safety(7): here it is loads and stores of words,
// sigaction(2) and plain system calls.

// A plugin's own handler, or a sanitizer's, may want more than the minimum; untouched pages cost nothing.
#define ALTERNATE_STACK_BYTES ((size_t)64 * 1024)

static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
#define FAULT_COUNT (sizeof(faults) / sizeof(faults[0]))

// Written once, before `is_installed`; read by handlers.
static clinux_crash_page page;
static pid_t process;
static struct sigaction previous[FAULT_COUNT];
static atomic_bool is_installed;

static atomic_ullong *word(char *line, size_t offset) {
    return (atomic_ullong *)(void *)(line + offset);
}

// Marks the calling thread's line, and in any case the page's own words. The first mark of a line
// stays: what an exit hook or a second fault does afterwards is only a consequence.
static void mark(uint64_t fault) {
    // A child between fork and exec shares the page, but not the fate.
    if (getpid() != process) return;
    uint64_t tid = (uint64_t)clinux_gettid();
    for (size_t i = 0; i < page.line_count; i++) {
        char *line = (char *)page.lines + i * page.line_stride;
        if (atomic_load_explicit(word(line, page.tid_offset), memory_order_relaxed) != tid) continue;
        unsigned long long none = 0;
        atomic_compare_exchange_strong(word(line, page.fault_offset), &none, fault);
        return;
    }
    unsigned long long none = 0;
    atomic_compare_exchange_strong((atomic_ullong *)page.stray_fault, &none, fault);
}

// Sent by another process (kill -SEGV, a debugger), not caused by what this thread was doing.
static int is_from_outside(const siginfo_t *info) {
    if (info->si_code > 0) return 0; // the kernel's own: a fault
    return info->si_pid != getpid();
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    int code = errno;
    if (!is_from_outside(info)) mark((uint64_t)number);
    // From here on it goes as if this handler had never been: the action before it is in place again,
    // and the same signal, with its particulars, waits until this handler returns and unblocks it. A
    // plain return would not do: the instruction after a trap would be carried out.
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (faults[i] == number) sigaction(number, &previous[i], NULL);
    }
    pid_t tid = clinux_gettid();
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, number, info) != 0) {
        syscall(SYS_tgkill, getpid(), tid, number);
    }
    errno = code;
}

static void on_exit_call(void) { mark(CLINUX_CRASH_EXIT); }

int clinux_crash_install(const clinux_crash_page *given) {
    if (atomic_load(&is_installed)) return EALREADY;
    page = *given;
    process = getpid();
    // Both, since a plugin may call either; _exit(2) leaves no chance.
    if (atexit(on_exit_call) != 0 || at_quick_exit(on_exit_call) != 0) return ENOMEM;
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        // First what was there, since a handler may run as soon as it is in place.
        if (sigaction(faults[i], NULL, &previous[i]) != 0) return errno;
        // An ignored fault of one's own ends the process all the same; ignoring a re-raised one would
        // carry on after it.
        if (!(previous[i].sa_flags & SA_SIGINFO) && previous[i].sa_handler == SIG_IGN) {
            previous[i].sa_handler = SIG_DFL;
        }
    }
    atomic_store(&is_installed, 1);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        if (sigaction(faults[i], &action, NULL) != 0) return errno;
    }
    return 0;
}

// The calling thread's alternate stack if it was made here.
static _Thread_local void *alternate_stack;

int clinux_crash_stack_up(void) {
    stack_t now;
    if (alternate_stack) return 0;
    if (sigaltstack(NULL, &now) != 0) return errno;
    // Somebody's already (the Swift runtime's on the main thread, a sanitizer's): it serves as well.
    if (!(now.ss_flags & SS_DISABLE)) return 0;
    // The page below it is out of bounds, so that a handler which needs more faults instead of writing
    // into what lies there.
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, guard + ALTERNATE_STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) return errno;
    stack_t stack = {.ss_sp = memory + guard, .ss_size = ALTERNATE_STACK_BYTES};
    if (mprotect(memory, guard, PROT_NONE) != 0 || sigaltstack(&stack, NULL) != 0) {
        int code = errno;
        munmap(memory, guard + ALTERNATE_STACK_BYTES);
        return code;
    }
    alternate_stack = memory;
    return 0;
}

void clinux_crash_stack_down(void) {
    if (!alternate_stack) return;
    stack_t none = {.ss_flags = SS_DISABLE};
    if (sigaltstack(&none, NULL) != 0) return;
    munmap(alternate_stack, (size_t)sysconf(_SC_PAGESIZE) + ALTERNATE_STACK_BYTES);
    alternate_stack = NULL;
}

static _Thread_local void *note;

void *clinux_thread_note(void) { return note; }
void clinux_set_thread_note(void *value) { note = value; }
