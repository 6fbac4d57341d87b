// The client of the bulk work: uploads or downloads through a balancer, several streams at once,
// again and again until a time has passed, and prints one line of JSON about it.
//
//     bulkload upload|chunked|download PORT BYTES STREAMS SECONDS
//
// BYTES is the size of one body; a stream starts its next transfer until SECONDS have passed, and a
// transfer that was begun is finished. Each upload is checked: the node answers with the number of
// bytes that reached it. Connects to 127.0.0.1 only and ends after SECONDS + 60 at the latest.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, BLOCK = 256 * 1024, DROP = 1024 * 1024, HEAD_LIMIT = 16 * 1024 };
enum kind { UPLOAD, CHUNKED, DOWNLOAD };

struct stream {
    int fd;
    uint64_t sent;      // bytes of the request on the wire, head included
    size_t headLength;
    char head[256];
    bool answering;     // the head of the response is complete
    uint64_t left;      // bytes of the response's body that are missing
    size_t used;
    char bytes[HEAD_LIMIT + 1];   // the response: its head, and of an upload its body
};

static enum kind kind;
static int port, poller, open_streams;
static uint64_t size, wire, transfers, failures;
static double deadline, started;
// The body of a request as it repeats on the wire: a block, or one chunk with its frame.
static char frame[BLOCK + 64];
static size_t frameLength;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void watch(struct stream *s, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = s};
    if (epoll_ctl(poller, how, s->fd, &event) != 0) { perror("epoll_ctl"); exit(1); }
}

/// Begins a transfer on a connection of its own.
static void start(struct stream *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memset(s, 0, sizeof *s);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "bulkload: connect: %s\n", strerror(errno));
        exit(3);
    }
    int n;
    if (kind == DOWNLOAD)
        n = snprintf(s->head, sizeof s->head, "GET /bytes/%llu HTTP/1.1\r\nHost: bench\r\n\r\n",
            (unsigned long long)size);
    else if (kind == UPLOAD)
        n = snprintf(s->head, sizeof s->head,
            "PUT /upload HTTP/1.1\r\nHost: bench\r\nContent-Length: %llu\r\n\r\n",
            (unsigned long long)size);
    else
        n = snprintf(s->head, sizeof s->head,
            "PUT /upload HTTP/1.1\r\nHost: bench\r\nTransfer-Encoding: chunked\r\n\r\n");
    s->headLength = (size_t)n;
    open_streams++;
    watch(s, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void finish(struct stream *s, bool fine) {
    close(s->fd);
    open_streams--;
    if (fine) transfers++; else failures++;
    if (now() < deadline && failures < 16) start(s);
}

/// Sends what the socket takes. False: the stream is broken.
static bool transmit(struct stream *s) {
    static const char last[] = "0\r\n\r\n";
    uint64_t end = s->headLength + wire + (kind == CHUNKED ? sizeof last - 1 : 0);
    while (s->sent < end) {
        const char *from;
        size_t n;
        if (s->sent < s->headLength) {
            from = s->head + s->sent;
            n = s->headLength - s->sent;
        } else if (s->sent < s->headLength + wire) {
            uint64_t done = s->sent - s->headLength;
            size_t within = (size_t)(done % frameLength);
            from = frame + within;
            n = frameLength - within;
            if (n > wire - done) n = (size_t)(wire - done);
        } else {
            size_t done = (size_t)(s->sent - s->headLength - wire);
            from = last + done;
            n = sizeof last - 1 - done;
        }
        ssize_t written = send(s->fd, from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written < 0) return errno == EAGAIN;
        s->sent += (uint64_t)written;
    }
    watch(s, EPOLL_CTL_MOD, EPOLLIN);
    return true;
}

/// The body that came with an upload's response says how many bytes arrived.
static bool judge(struct stream *s) {
    if (kind == DOWNLOAD) return true;
    s->bytes[s->used] = 0;
    return strtoull(s->bytes, NULL, 10) == size;
}

enum progress { GOING, COMPLETE, BROKEN };

static enum progress receive(struct stream *s) {
    ssize_t n;
    if (s->answering && kind == DOWNLOAD) {
        n = recv(s->fd, NULL, s->left < DROP ? (size_t)s->left : DROP, MSG_TRUNC | MSG_DONTWAIT);
        if (n <= 0) return n < 0 && errno == EAGAIN ? GOING : BROKEN;
        s->left -= (uint64_t)n;
        return s->left == 0 ? COMPLETE : GOING;
    }
    if (s->used == HEAD_LIMIT) return BROKEN;
    n = recv(s->fd, s->bytes + s->used, HEAD_LIMIT - s->used, MSG_DONTWAIT);
    if (n <= 0) return n < 0 && errno == EAGAIN ? GOING : BROKEN;
    s->used += (size_t)n;
    s->bytes[s->used] = 0;
    if (!s->answering) {
        char *end = strstr(s->bytes, "\r\n\r\n");
        if (!end) return GOING;
        char *value = strcasestr(s->bytes, "\r\ncontent-length:");
        if (strncmp(s->bytes, "HTTP/1.1 200", 12) != 0 || !value || value > end) {
            fprintf(stderr, "bulkload: unexpected response: %.*s\n", 40, s->bytes);
            return BROKEN;
        }
        s->left = strtoull(value + 17, NULL, 10);
        s->answering = true;
        size_t head = (size_t)(end - s->bytes) + 4;
        s->used -= head;
        memmove(s->bytes, s->bytes + head, s->used);
        if (kind == DOWNLOAD) {
            if (s->left != size || s->used > s->left) return BROKEN;
            s->left -= s->used;
            return s->left == 0 ? COMPLETE : GOING;
        }
    }
    if (s->used < s->left) return GOING;
    return judge(s) ? COMPLETE : BROKEN;
}

int main(int count, char **arguments) {
    if (count != 6) {
        fprintf(stderr, "usage: bulkload upload|chunked|download PORT BYTES STREAMS SECONDS\n");
        return 2;
    }
    kind = arguments[1][0] == 'u' ? UPLOAD : arguments[1][0] == 'c' ? CHUNKED : DOWNLOAD;
    port = atoi(arguments[2]);
    size = strtoull(arguments[3], NULL, 10);
    int streams = atoi(arguments[4]);
    double seconds = atof(arguments[5]);
    signal(SIGPIPE, SIG_IGN);
    alarm((unsigned)seconds + 60);

    if (kind == CHUNKED) {
        if (size % CHUNK != 0) {
            fprintf(stderr, "bulkload: BYTES must be a multiple of 64 KiB\n");
            return 2;
        }
        int n = snprintf(frame, sizeof frame, "%x\r\n", CHUNK);
        memcpy(frame + n + CHUNK, "\r\n", 2);
        frameLength = (size_t)n + CHUNK + 2;
        wire = size / CHUNK * frameLength;
    } else {
        frameLength = BLOCK;
        wire = kind == UPLOAD ? size : 0;
    }

    poller = epoll_create1(EPOLL_CLOEXEC);
    struct stream *all = calloc((size_t)streams, sizeof *all);
    started = now();
    deadline = started + seconds;
    for (int i = 0; i < streams; i++) start(&all[i]);
    while (open_streams > 0) {
        struct epoll_event events[64];
        int n = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct stream *s = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                enum progress p = receive(s);
                if (p != GOING) { finish(s, p == COMPLETE); continue; }
            }
            if ((events[i].events & EPOLLOUT) && !transmit(s)) finish(s, false);
        }
    }
    printf("{\"transfers\": %llu, \"failures\": %llu, \"bytes\": %llu, \"seconds\": %.6f}\n",
        (unsigned long long)transfers, (unsigned long long)failures,
        (unsigned long long)(transfers * size), now() - started);
    return failures == 0 ? 0 : 1;
}
