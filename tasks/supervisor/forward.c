/* A port on the container's own loopback: each connection becomes a stream that the host answers. The container needs
 * no network for it. Also the sinks that commands and connections share: bytes wait here until they are taken, and the
 * host gets credit for what was. */
#include "supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint32_t last_connection = 1u << 31;

void listener_open(uint32_t id, const uint8_t *payload, size_t size) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    uint8_t port[2];
    int yes = 1;
    if (size != 2)
        give_up("a malformed request");
    at.sin_port = htons((uint16_t)get_u(payload, 2));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) < 0) {
        send_result(id, errno, false, 0, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    stream_new(id, LISTENER)->source = fd;
    put_u(port, ntohs(at.sin_port), 2);
    send_frame(LISTEN, id, port, sizeof port);
}

void listener_source(struct stream *s) {
    uint8_t listener[4];
    int yes = 1, fd = accept4(s->source, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct stream *made = stream_new(++last_connection, CONNECTION);
    made->source = made->sink = fd;
    put_u(listener, s->id, 4);
    send_frame(ACCEPT, made->id, listener, sizeof listener);
}

static void broken(struct stream *s) {
    send_frame(RESET, s->id, NULL, 0);
    stream_close(s);
}

/* Ends the connection once both directions have. */
static void half_closed(struct stream *s) {
    if (s->source < 0 && s->sink < 0)
        stream_close(s);
}

void connection_source(struct stream *s) {
    static char buffer[ROUND];
    ssize_t got = read(s->source, buffer, s->credit < ROUND ? s->credit : ROUND);
    if (got > 0) {
        s->credit -= (uint64_t)got;
        send_frame(DATA, s->id, buffer, (size_t)got);
    } else if (got == 0) {
        send_frame(END, s->id, NULL, 0);
        if (s->sink < 0)
            close(s->source);
        s->source = -1; /* the sink still has the socket */
        half_closed(s);
    } else if (errno != EAGAIN)
        broken(s);
}

void sink_data(struct stream *s, const uint8_t *data, size_t size) {
    if (s->sink < 0)
        return;
    if (s->pending_size + size > 2 * WINDOW)
        give_up("more than was granted");
    char *joined = malloc(s->pending_size + size + 1);
    if (!joined)
        give_up("out of memory");
    if (s->pending_size)
        memcpy(joined, s->pending + s->pending_at, s->pending_size);
    memcpy(joined + s->pending_size, data, size);
    free(s->pending);
    s->pending = joined;
    s->pending_at = 0;
    s->pending_size += size;
    sink_write(s);
}

void sink_end(struct stream *s) {
    s->pending_end = true;
    sink_write(s);
}

static void close_sink(struct stream *s) {
    if (s->kind == CONNECTION && s->source >= 0)
        shutdown(s->sink, SHUT_WR);
    else
        close(s->sink);
    s->sink = -1;
    s->pending_size = 0;
    if (s->kind == CONNECTION)
        half_closed(s);
}

void sink_write(struct stream *s) {
    uint8_t granted[4];
    uint32_t taken = 0;
    while (s->sink >= 0 && s->pending_size) {
        ssize_t wrote = write(s->sink, s->pending + s->pending_at, s->pending_size);
        if (wrote < 0 && errno == EAGAIN)
            break;
        if (wrote < 0 && s->kind == CONNECTION) {
            broken(s);
            return;
        }
        if (wrote < 0) { /* nobody reads its input any more */
            close_sink(s);
            return;
        }
        s->pending_at += (size_t)wrote;
        s->pending_size -= (size_t)wrote;
        taken += (uint32_t)wrote;
    }
    if (taken) {
        put_u(granted, taken, 4);
        send_frame(CREDIT, s->id, granted, sizeof granted);
    }
    if (s->sink >= 0 && s->pending_end && !s->pending_size)
        close_sink(s);
}
