// A node that takes uploads and throws them away, fast enough never to be what is measured: one
// thread, epoll, Content-Length and chunked bodies, an answer at the end of each.

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    int fd;
    int in_body, chunked;
    unsigned long long left;
    char head[16384];
    size_t length;
    char last[5]; // of a chunked body: it ends in "0\r\n\r\n", and this sink's clients send zeros
};

static char block[1 << 20];

static void answer(struct connection *c) {
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    if (write(c->fd, text, sizeof text - 1) < 0) return;
    c->in_body = 0;
    c->length = 0;
    memset(c->last, 0, sizeof c->last);
}

// Bytes of the body; done when they are all there.
static void take(struct connection *c, const char *bytes, size_t n) {
    if (!c->chunked) {
        c->left -= n < c->left ? n : c->left;
        if (c->left == 0) answer(c);
        return;
    }
    size_t keep = n < 5 ? n : 5;
    memmove(c->last, c->last + keep, 5 - keep);
    memcpy(c->last + 5 - keep, bytes + n - keep, keep);
    if (memcmp(c->last, "0\r\n\r\n", 5) == 0) answer(c);
}

static int serve(struct connection *c) {
    ssize_t n = read(c->fd, block, sizeof block);
    if (n <= 0) return n < 0 && errno == EAGAIN;
    if (c->in_body) {
        take(c, block, (size_t)n);
        return 1;
    }
    size_t room = sizeof c->head - 1 - c->length;
    size_t some = (size_t)n < room ? (size_t)n : room;
    memcpy(c->head + c->length, block, some);
    c->length += some;
    c->head[c->length] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return some == (size_t)n;
    size_t head = (size_t)(end + 4 - c->head);
    size_t body = c->length - head + ((size_t)n - some);
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    c->chunked = strcasestr(c->head, "\r\ntransfer-encoding:") != NULL;
    c->left = length ? strtoull(length + 17, NULL, 10) : 0;
    if (strcasestr(c->head, "\r\nexpect:")) {
        static const char go[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (write(c->fd, go, sizeof go - 1) < 0) return 0;
    }
    c->in_body = 1;
    if (!c->chunked && c->left == 0) {
        answer(c);
    } else if (body > 0) {
        take(c, block + (size_t)n - body, body);
    }
    return 1;
}

int main(int argc, char **argv) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0")),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("sink");
        return 1;
    }
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(set, events, 64, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                c = calloc(1, sizeof *c);
                c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                event.data.ptr = c;
                epoll_ctl(set, EPOLL_CTL_ADD, c->fd, &event);
            } else if (!serve(c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
