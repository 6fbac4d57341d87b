// Ends itself in one of many ways, with the crash handler in place: what CrashHandlerTests starts. The
// places of the page come from the test, which asks Balance; nothing is known of them here.

#include "CLinuxCrash.h"

#include <stdio.h>

static char *page;
static size_t lines, stride, tid_offset, build_offset;
static const char *how;

static void set(size_t line, size_t offset, uint64_t value) {
    *(volatile uint64_t *)(page + lines + line * stride + offset) = value;
}

static volatile int zero = 0;
static volatile char sink;

static int deeper(int depth) {
    char room[4096];
    room[depth % 4096] = (char)depth;
    sink = room[(depth * 7) % 4096];
    return zero ? 0 : deeper(depth + 1) + room[depth % 4096];
}

static void wait_for_the_end(void) {
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}

static void *end_it(void *unused) {
    (void)unused;
    if (!strcmp(how, "segv")) *(volatile int *)(uintptr_t)(zero + 8) = 1;
    if (!strcmp(how, "overflow")) zero = deeper(0);
    if (!strcmp(how, "abort")) abort();
    if (!strcmp(how, "trap")) __builtin_trap();
    if (!strcmp(how, "raise-trap")) raise(SIGTRAP);
    if (!strcmp(how, "divide")) raise(SIGFPE);
    if (!strcmp(how, "exit")) exit(0);
    if (!strcmp(how, "quick-exit")) quick_exit(5);
    if (!strcmp(how, "_exit")) _exit(6);
    if (!strcmp(how, "wait")) wait_for_the_end();
    if (!strcmp(how, "child-exits")) {
        pid_t child = fork();
        if (child == 0) exit(0);
        waitpid(child, NULL, 0);
        wait_for_the_end();
    }
    return NULL;
}

// What the Swift runtime's tracer does: says what happened, and lets the default have its turn.
static void tracer(int number, siginfo_t *info, void *context) {
    (void)context;
    char line[64];
    int n = snprintf(line, sizeof line, "traced %d at %zu\n", number, (size_t)info->si_addr);
    if (write(1, line, (size_t)n) != n) _exit(99);
    signal(number, SIG_DFL);
    raise(number);
}

// Thread 0 is this program's main thread; a worker has the line of its number.
static void *worker(void *number) {
    size_t line = (size_t)(uintptr_t)number;
    if (clinux_crash_stack_up() != 0) _exit(98);
    set(line, tid_offset, (uint64_t)clinux_gettid());
    end_it(NULL);
    clinux_crash_stack_down();
    return NULL;
}

// FILE LINES STRIDE COUNT TID FAULT STRAY BUILD HOW WHERE BUILD-ID [traced]
int main(int argc, char **argv) {
    if (argc < 12) return 97;
    size_t given[7];
    for (int i = 0; i < 7; i++) given[i] = strtoul(argv[2 + i], NULL, 10);
    int file = open(argv[1], O_RDWR);
    page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) return 96;
    lines = given[0];
    stride = given[1];
    tid_offset = given[3];
    build_offset = given[6];
    how = argv[9];
    const char *where = argv[10];
    uint64_t build = strtoull(argv[11], NULL, 10);

    if (argc > 12) {
        struct sigaction before = {.sa_sigaction = tracer, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigaction(SIGSEGV, &before, NULL);
    }
    clinux_crash_page places = {.lines = page + lines,
                                .line_stride = stride,
                                .line_count = given[2],
                                .tid_offset = tid_offset,
                                .fault_offset = given[4],
                                .stray_fault = (uint64_t *)(void *)(page + given[5])};
    if (clinux_crash_install(&places) != 0) return 95;

    set(0, tid_offset, (uint64_t)clinux_gettid());
    pthread_t thread;
    if (!strcmp(where, "main")) {
        set(0, build_offset, build);
        clinux_crash_stack_up();
        end_it(NULL);
    } else if (!strcmp(where, "stray")) {
        // A worker is inside a plugin and has nothing to do with it.
        set(3, tid_offset, (uint64_t)clinux_gettid() + 1000000);
        set(3, build_offset, build);
        pthread_create(&thread, NULL, end_it, NULL);
        pthread_join(thread, NULL);
    } else {
        set(4, build_offset, build);
        pthread_create(&thread, NULL, worker, (void *)4);
        pthread_join(thread, NULL);
    }
    return 94;
}
