// Preloaded into Trivet under valgrind only, for two things that valgrind 3.19 cannot do. Trivet starts its
// other processes as /proc/self/exe, which there is valgrind itself: the file to start instead is in
// TRIVET_FILE. And it waits for them with pidfd_open(2): here a thread waits, and writes to an eventfd.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const words[], char *const environment[]) {
    int (*real)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                char *const[], char *const[]) = dlsym(RTLD_NEXT, "posix_spawn");
    const char *file = getenv("TRIVET_FILE");
    if (file && !strcmp(path, "/proc/self/exe")) path = file;
    return real(pid, path, actions, attributes, words, environment);
}

struct watch { pid_t pid; int fd; };

static void *await(void *given) {
    struct watch watch = *(struct watch *)given;
    free(given);
    siginfo_t how;
    while (waitid(P_PID, watch.pid, &how, WEXITED | WNOWAIT) && errno == EINTR) {}
    uint64_t one = 1;
    (void)!write(watch.fd, &one, sizeof one);
    return NULL;
}

long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_pidfd_open) {
        struct watch *watch = malloc(sizeof *watch);
        *watch = (struct watch){(pid_t)a[0], eventfd(0, EFD_CLOEXEC)};
        int fd = watch->fd;
        pthread_t thread;
        pthread_create(&thread, NULL, await, watch);
        pthread_detach(thread);
        return fd;
    }
    register long r10 __asm__("r10") = a[3];
    register long r8 __asm__("r8") = a[4];
    register long r9 __asm__("r9") = a[5];
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
    return result;
}
