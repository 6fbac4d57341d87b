// What Swift cannot import from Linux by itself: variadic calls, GNU extensions behind macros, and
// headers that Glibc's module map leaves out. Static inline, no state, nothing else; CLinuxCrash.h,
// which comes with it, is the exception.

#ifndef CLINUX_H
#define CLINUX_H

// _GNU_SOURCE is not defined here: it changes the layout that headers give to fd_set, and Swift then
// sees two of them. What it would show is declared below, as glibc declares it.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int accept4(int, struct sockaddr *__restrict, socklen_t *__restrict, int);
extern int pipe2(int *, int);
extern ssize_t pwritev2(int, const struct iovec *, int, __off64_t, int);
extern int memfd_create(const char *, unsigned int);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);

#define CLINUX_SPLICE_F_MOVE 1u
#define CLINUX_SPLICE_F_NONBLOCK 2u
#define CLINUX_F_SETPIPE_SZ 1031
#define CLINUX_MFD_CLOEXEC 1u
#define CLINUX_MAP_FAILED_BITS UINTPTR_MAX

// The data of an epoll event as one number: Swift sees neither the union nor the packing.
static inline int clinux_epoll_add(int set, int fd, uint32_t events, uint64_t data) {
    struct epoll_event e = {.events = events, .data.u64 = data};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
}
static inline uint64_t clinux_epoll_data(const struct epoll_event *e) { return e->data.u64; }
static inline uint32_t clinux_epoll_events(const struct epoll_event *e) { return e->events; }

static inline int clinux_open(const char *path, int flags, unsigned int mode) {
    return open(path, flags, mode);
}
static inline int clinux_fcntl(int fd, int command, int argument) {
    return fcntl(fd, command, argument);
}
static inline int clinux_ioctl_int(int fd, unsigned long request, int *value) {
    return ioctl(fd, request, value);
}
static inline int clinux_ioctl_winsize(int fd, struct winsize *size) {
    return ioctl(fd, TIOCGWINSZ, size);
}
static inline int clinux_prctl(int option, unsigned long argument) {
    return prctl(option, argument, 0, 0, 0);
}
// In the child: closes every descriptor from `first` on (glibc 2.34 and later).
static inline int clinux_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    return posix_spawn_file_actions_addclosefrom_np(actions, first);
}
static inline int clinux_memfd_create(const char *name, unsigned int flags) {
    return memfd_create(name, flags);
}
static inline int clinux_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return accept4(fd, address, length, flags);
}
static inline int clinux_pipe2(int *ends, int flags) { return pipe2(ends, flags); }
// The calls that every event makes, without glibc's wrappers: those are cancellation points, and in a
// process with threads switch cancellation on and off around each call (3 % of a small request).
// Nobody cancels threads here. Same results, same errno.
static inline ssize_t clinux_receive(int fd, void *bytes, size_t count) {
    return syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL);
}
static inline ssize_t clinux_send(int fd, const void *bytes, size_t count) {
    return syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, NULL, 0);
}
static inline ssize_t clinux_splice(int from, int to, size_t count, unsigned int flags) {
    return syscall(SYS_splice, from, NULL, to, NULL, count, flags);
}
static inline int clinux_epoll_wait(int set, struct epoll_event *events, int room, int milliseconds) {
    return (int)syscall(SYS_epoll_pwait, set, events, room, milliseconds, NULL, 0);
}
// Writes to where a descriptor stands, without waiting whatever its own flags are; EOPNOTSUPP where the
// kernel cannot (terminals, named pipes).
static inline ssize_t clinux_write_now(int fd, const void *bytes, size_t count) {
    struct iovec part = {(void *)bytes, count};
    return pwritev2(fd, &part, 1, -1, 0x8 /* RWF_NOWAIT */);
}
// Up to three runs of bytes in one call; empty ones are left out. No SIGPIPE. Little is put together
// first: copying it costs less than the kernel's reading of a list (a small response: 0.2 us).
static inline ssize_t clinux_send3(int fd, const void *a, size_t a_length, const void *b,
                                   size_t b_length, const void *c, size_t c_length) {
    if (a_length + b_length + c_length <= 2048) {
        char all[2048];
        if (a_length) memcpy(all, a, a_length);
        if (b_length) memcpy(all + a_length, b, b_length);
        if (c_length) memcpy(all + a_length + b_length, c, c_length);
        return clinux_send(fd, all, a_length + b_length + c_length);
    }
    struct iovec io[3];
    struct msghdr message = {.msg_iov = io};
    if (a_length) io[message.msg_iovlen++] = (struct iovec){(void *)a, a_length};
    if (b_length) io[message.msg_iovlen++] = (struct iovec){(void *)b, b_length};
    if (c_length) io[message.msg_iovlen++] = (struct iovec){(void *)c, c_length};
    if (message.msg_iovlen == 1) return clinux_send(fd, io[0].iov_base, io[0].iov_len);
    return syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
}
// `errno` is a macro that Swift cannot read, and so are the handlers of signal(2).
static inline int clinux_errno(void) { return errno; }
static inline void clinux_set_errno(int code) { errno = code; }
static inline void clinux_ignore_signal(int number) { signal(number, SIG_IGN); }
static inline void clinux_default_signal(int number) { signal(number, SIG_DFL); }
static inline char **clinux_environment(void) {
    extern char **environ;
    return environ;
}
extern int pthread_setname_np(pthread_t, const char *);
static inline int clinux_set_thread_name(pthread_t thread, const char *name) {
    return pthread_setname_np(thread, name);
}
// Bytes of the heap that somebody holds (glibc 2.33 and later).
static inline size_t clinux_heap_in_use(void) {
    struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
}
static inline int clinux_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
// Who is at the other end of a local socket (SO_PEERCRED, unix(7)). `struct ucred` needs _GNU_SOURCE,
// which would give Swift a second fd_set: three numbers of the same layout stand in.
static inline int clinux_peer_user(int fd, uid_t *user) {
    struct { pid_t pid; uid_t uid; gid_t gid; } peer;
    socklen_t length = sizeof peer;
    int code = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    if (code == 0) *user = peer.uid;
    return code;
}

static inline pid_t clinux_gettid(void) { return (pid_t)syscall(SYS_gettid); }
static inline ssize_t clinux_random(void *bytes, size_t count) {
    return getrandom(bytes, count, 0);
}
// Cores that this process may use, which in a container are not all of the machine's; 0: unknown.
static inline int clinux_cores(void) {
    unsigned long set[128] = {0};
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(set), set);
    int cores = 0;
    for (long i = 0; i < bytes / (long)sizeof(set[0]); i++) cores += __builtin_popcountl(set[i]);
    return cores;
}
// "TERM", or NULL (glibc 2.32 and later).
extern const char *sigabbrev_np(int);
static inline const char *clinux_signal_name(int number) { return sigabbrev_np(number); }
static inline int clinux_wifexited(int status) { return WIFEXITED(status); }
static inline int clinux_wexitstatus(int status) { return WEXITSTATUS(status); }
static inline int clinux_wifsignaled(int status) { return WIFSIGNALED(status); }
static inline int clinux_wtermsig(int status) { return WTERMSIG(status); }

// One message of bytes with up to 253 descriptors beside it (SCM_RIGHTS), over a local socket.
// Returns what sendmsg and recvmsg return; `*fd_count` is how many descriptors came.
static inline ssize_t clinux_send_fds(int socket, const void *bytes, size_t length, const int *fds,
                                      size_t fd_count) {
    union {
        char room[CMSG_SPACE(253 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec io = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd_count > 253) {
        errno = EINVAL;
        return -1;
    }
    if (fd_count > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

static inline ssize_t clinux_receive_fds(int socket, void *bytes, size_t capacity, int *fds,
                                         size_t fd_capacity, size_t *fd_count) {
    union {
        char room[CMSG_SPACE(253 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec io = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    message.msg_control = control.room;
    message.msg_controllen = sizeof(control.room);
    *fd_count = 0;
    ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (n < 0) return n;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n_fds; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (*fd_count < fd_capacity) {
                fds[(*fd_count)++] = fd;
            } else {
                close(fd);
            }
        }
    }
    return n;
}

// At the end: it builds on what stands above, and the module that Swift sees is this header.
#include "CLinuxCrash.h"

#endif // CLINUX_H
