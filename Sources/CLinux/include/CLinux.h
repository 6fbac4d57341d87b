// What Swift cannot import from Linux by itself: variadic calls, GNU extensions behind macros, and
// headers that Glibc's module map leaves out. Static inline, no state, nothing else.

#ifndef CLINUX_H
#define CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/errqueue.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

// The data of an epoll event as one number: Swift sees neither the union nor the packing.
static inline struct epoll_event clinux_epoll_event(uint32_t events, uint64_t data) {
    struct epoll_event e;
    e.events = events;
    e.data.u64 = data;
    return e;
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
static inline int clinux_memfd_create(const char *name, unsigned int flags) {
    return memfd_create(name, flags);
}
static inline int clinux_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
    return accept4(fd, address, length, flags);
}
static inline int clinux_pipe2(int *ends, int flags) { return pipe2(ends, flags); }
static inline ssize_t clinux_splice(int from, int to, size_t count, unsigned int flags) {
    return splice(from, NULL, to, NULL, count, flags);
}
static inline pid_t clinux_gettid(void) { return (pid_t)syscall(SYS_gettid); }
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

#endif // CLINUX_H
