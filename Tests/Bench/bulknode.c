// The node of the bulk work: takes uploads of any size (Content-Length or chunked) and answers with
// the number of bytes that arrived, or sends as many bytes as asked for (GET /bytes/N).
//
//     bulknode PORT...        listens on 127.0.0.1, one epoll loop, until it is ended
//
// It must not be the bottleneck, so it looks at heads and chunk sizes only and drops payload inside
// the kernel (MSG_TRUNC). It is no HTTP server: it trusts the balancer that stands before it.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16 * 1024, BLOCK = 256 * 1024, DROP = 1024 * 1024 };

/// Where a connection is in the message it receives. SENDING is the answer of GET /bytes/N.
enum state { HEAD, LENGTH, SIZE, CHUNK, CHUNK_END, TRAILER, SENDING };

struct connection {
    int fd;
    bool listening;
    enum state state;
    uint64_t left;    // payload bytes of this body or chunk that have not arrived (or left) yet
    uint64_t total;   // payload bytes of this message that arrived
    size_t used;      // bytes in `bytes`
    char bytes[HEAD_LIMIT + 1];
};

static char block[BLOCK];
static int poller;

static void watch(struct connection *c, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, how, c->fd, &event) != 0) { perror("epoll_ctl"); exit(1); }
}

static void end(struct connection *c) { close(c->fd); free(c); }

static void consume(struct connection *c, size_t n) {
    memmove(c->bytes, c->bytes + n, c->used - n);
    c->used -= n;
}

/// Sends all of a short text; the socket's buffer is empty at that point, so it fits.
static bool say(struct connection *c, const char *text, size_t n) {
    return send(c->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool answerCount(struct connection *c) {
    char body[32], text[256];
    int length = snprintf(body, sizeof body, "%llu\n", (unsigned long long)c->total);
    int n = snprintf(text, sizeof text,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
        length, body);
    c->state = HEAD;
    return say(c, text, (size_t)n);
}

/// The value of a field, found without regard to case, or NULL.
static const char *field(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : NULL;
}

/// Reads a whole head that ends at `length`. False: the connection is to be ended.
static bool begin(struct connection *c, size_t length) {
    char head[HEAD_LIMIT + 1];
    memcpy(head, c->bytes, length);
    head[length] = 0;
    consume(c, length);
    c->total = 0;
    if (strncmp(head, "GET /bytes/", 11) == 0) {
        c->left = strtoull(head + 11, NULL, 10);
        char text[256];
        int n = snprintf(text, sizeof text,
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
            "Content-Length: %llu\r\n\r\n", (unsigned long long)c->left);
        if (!say(c, text, (size_t)n)) return false;
        c->state = SENDING;
        watch(c, EPOLL_CTL_MOD, EPOLLOUT);
        return true;
    }
    const char *value = field(head, "\r\ncontent-length:");
    if (value) {
        c->left = strtoull(value, NULL, 10);
        c->state = LENGTH;
        return c->left > 0 || answerCount(c);
    }
    if (field(head, "\r\ntransfer-encoding: chunked")) { c->state = SIZE; return true; }
    return answerCount(c);
}

/// Goes through what is in `bytes`. False: the connection is to be ended.
static bool digest(struct connection *c) {
    for (;;) {
        if (c->state == SENDING) return true;
        if (c->used == 0) return true;
        c->bytes[c->used] = 0;
        if (c->state == LENGTH || c->state == CHUNK) {
            size_t n = c->used < c->left ? c->used : (size_t)c->left;
            consume(c, n);
            c->left -= n;
            c->total += n;
            if (c->left > 0) continue;
            if (c->state == CHUNK) { c->state = CHUNK_END; continue; }
            if (!answerCount(c)) return false;
            continue;
        }
        const char *mark = c->state == HEAD ? "\r\n\r\n" : "\r\n";
        char *found = memmem(c->bytes, c->used, mark, strlen(mark));
        if (!found) return c->used < HEAD_LIMIT;
        size_t length = (size_t)(found - c->bytes) + strlen(mark);
        switch (c->state) {
        case HEAD:
            if (!begin(c, length)) return false;
            break;
        case SIZE:
            c->left = strtoull(c->bytes, NULL, 16);
            consume(c, length);
            c->state = c->left > 0 ? CHUNK : TRAILER;
            break;
        case CHUNK_END:
            consume(c, length);
            c->state = SIZE;
            break;
        default:  // TRAILER: lines up to an empty one
            consume(c, length);
            if (length == 2 && !answerCount(c)) return false;
        }
    }
}

static bool receive(struct connection *c) {
    if (c->used == 0 && (c->state == LENGTH || c->state == CHUNK)) {
        size_t limit = c->left < DROP ? (size_t)c->left : DROP;
        ssize_t n = recv(c->fd, NULL, limit, MSG_TRUNC);
        if (n <= 0) return n < 0 && errno == EAGAIN;
        c->left -= (uint64_t)n;
        c->total += (uint64_t)n;
        if (c->left > 0) return true;
        if (c->state == CHUNK) { c->state = CHUNK_END; return true; }
        return answerCount(c);
    }
    // Inside a chunked body only the next few bytes are framing: a short read leaves the payload
    // where it can be dropped without a copy.
    size_t room = HEAD_LIMIT - c->used;
    if (c->state != HEAD && room > 64) room = 64;
    ssize_t n = recv(c->fd, c->bytes + c->used, room, 0);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    c->used += (size_t)n;
    return digest(c);
}

static bool transmit(struct connection *c) {
    while (c->left > 0) {
        size_t limit = c->left < BLOCK ? (size_t)c->left : BLOCK;
        ssize_t n = send(c->fd, block, limit, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN;
        c->left -= (uint64_t)n;
    }
    c->state = HEAD;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return digest(c);
}

static void acceptOne(struct connection *listener) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = calloc(1, sizeof *c);
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void listenOn(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct connection *c = calloc(1, sizeof *c);
    int on = 1;
    c->listening = true;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(c->fd, 4096) != 0) {
        fprintf(stderr, "bulknode: port %d: %s\n", port, strerror(errno));
        exit(3);
    }
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int count, char **arguments) {
    if (count < 2) { fprintf(stderr, "usage: bulknode PORT...\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 1; i < count; i++) listenOn(atoi(arguments[i]));
    struct epoll_event events[256];
    for (;;) {
        int n = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->listening) { acceptOne(c); continue; }
            bool fine = c->state == SENDING ? transmit(c) : receive(c);
            if (!fine) end(c);
        }
    }
}
