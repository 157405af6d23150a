/* Bytes in both directions. Nothing here blocks. What the host does not take yet waits in one buffer, which stays small
 * because no source is read while it is large; what a sink does not take yet waits at its stream, and the host gets
 * credit for what was taken. */
#include "supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10 };

static uint8_t *out;
static size_t out_size, out_capacity;
static uint64_t out_due; /* when `out` is sent */

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t get_u(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static void put_u(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++, value >>= 8)
        at[i] = (uint8_t)value;
}

void send_frame(enum type type, uint32_t id, const void *payload, size_t size) {
    if (out_size + HEADER + size > out_capacity) {
        out_capacity = 2 * (out_size + HEADER + size);
        out = allocated(realloc(out, out_capacity));
    }
    out[out_size] = (uint8_t)type;
    put_u(out + out_size + 1, id, 4);
    put_u(out + out_size + 5, size, 4);
    if (size)
        memcpy(out + out_size + HEADER, payload, size);
    out_size += HEADER + size;
    out_due = 0;
}

void send_number(enum type type, uint32_t id, uint64_t number, int bytes) {
    uint8_t payload[8];
    put_u(payload, number, bytes);
    send_frame(type, id, payload, (size_t)bytes);
}

void send_result(uint32_t id, int code, bool timed_out, uint64_t total) {
    uint8_t payload[13];
    put_u(payload, (uint32_t)code, 4);
    payload[4] = timed_out;
    put_u(payload + 5, total, 8);
    send_frame(RESULT, id, payload, sizeof payload);
}

/* When something is to be sent: 0 for "as soon as the host takes it". */
uint64_t out_next(void) { return out_size ? out_due : UINT64_MAX; }

void out_flush(void) {
    while (out_size && now >= out_due) {
        ssize_t sent = write(TO_HOST, out, out_size);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent <= 0)
            give_up("the host is gone");
        out_size -= (size_t)sent;
        memmove(out, out + sent, out_size);
    }
}

/* Of a command's output its first `head` bytes are sent as they come, and the last `tail` when it ends: endless output
 * costs nobody memory. */
static void keep_tail(struct stream *s, const char *data, size_t size) {
    if (!s->ring)
        s->ring = allocated(malloc(2 * s->tail + 1));
    if (size > s->tail) {
        data += size - s->tail;
        size = s->tail;
    }
    if (s->ring_size + size > 2 * s->tail) {
        memmove(s->ring, s->ring + s->ring_size - s->tail, s->tail);
        s->ring_size = s->tail;
    }
    memcpy(s->ring + s->ring_size, data, size);
    s->ring_size += size;
}

void send_tail(struct stream *s) {
    if (s->total <= s->head)
        return;
    uint64_t beyond = s->total - s->head, kept = least(beyond, s->tail);
    if (beyond > kept)
        send_number(GAP, s->id, beyond - kept, 8);
    for (const char *at = s->ring + s->ring_size - kept; kept;) {
        uint64_t piece = least(kept, MAX_PAYLOAD);
        send_frame(DATA, s->id, at, piece);
        at += piece;
        kept -= piece;
    }
}

bool source_wanted(const struct stream *s) {
    if (s->kind == LEFTOVER || (s->kind == COMMAND && s->total >= s->head))
        return true; /* nothing of it is sent now */
    return out_size < OUT_LIMIT && s->credit;
}

static void broken(struct stream *s) {
    send_frame(RESET, s->id, NULL, 0);
    stream_close(s);
}

/* A connection ends once both directions have. */
static void half_close(struct stream *s, int *end, int other) {
    if (other < 0)
        stream_close(s);
    else if (end == &s->sink)
        shutdown(s->sink, SHUT_WR);
    *end = -1;
}

static void source_ended(struct stream *s, int error) {
    if (s->kind == COMMAND)
        command_output_ended(s);
    else if (s->kind == CONNECTION && error)
        broken(s);
    else if (s->kind == CONNECTION) {
        send_frame(END, s->id, NULL, 0);
        half_close(s, &s->source, s->sink);
    } else {
        if (s->kind == FILE_READ)
            send_result(s->id, error, false, s->total);
        stream_close(s);
    }
}

void source_read(struct stream *s) {
    static char buffer[ROUND];
    bool sent = s->kind != LEFTOVER && s->total < s->head;
    uint64_t want = least(ROUND, s->left);
    if (sent)
        want = least(want, least(s->credit, s->head - s->total));
    ssize_t got = want ? read(s->source, buffer, want) : 0;
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0 && sent) {
        uint64_t due = s->patient ? least(out_next(), now + PATIENCE_MS) : 0;
        s->credit -= (uint64_t)got;
        send_frame(DATA, s->id, buffer, (size_t)got);
        out_due = out_size < ROUND ? due : 0; /* a command's end, often close behind, goes along with its output */
    } else if (got > 0 && s->kind == COMMAND)
        keep_tail(s, buffer, (size_t)got);
    if (got > 0) {
        s->total += (uint64_t)got;
        s->left -= (uint64_t)got;
    }
    if (got <= 0 || !s->left)
        source_ended(s, got < 0 ? errno : 0);
}

void sink_data(struct stream *s, const uint8_t *data, size_t size) {
    if (s->sink < 0)
        return;
    if (s->pending_size + size > 2 * WINDOW)
        give_up("more than was granted");
    s->pending = allocated(realloc(s->pending, s->pending_size + size + 1));
    memcpy(s->pending + s->pending_size, data, size);
    s->pending_size += size;
    sink_write(s);
}

void sink_end(struct stream *s) {
    s->pending_end = true;
    sink_write(s);
}

/* Whoever read the sink has all of it, or reads no more. */
static void sink_close(struct stream *s, int error) {
    s->pending_size = 0;
    if (s->kind == CONNECTION) {
        error ? broken(s) : half_close(s, &s->sink, s->source);
        return;
    }
    close(s->sink);
    s->sink = s->input; /* a shell has its command's text: the rest is for the command */
    s->input = -1;
    if (s->kind == FILE_WRITE) {
        send_result(s->id, error, false, s->total);
        stream_close(s);
    }
}

void sink_write(struct stream *s) {
    size_t taken = 0;
    int error = 0;
    while (s->sink >= 0 && s->pending_size && !error) {
        ssize_t wrote = write(s->sink, s->pending, s->text_left ? least(s->text_left, s->pending_size) : s->pending_size);
        if (wrote < 0) {
            error = errno;
            break;
        }
        taken += (size_t)wrote;
        s->pending_size -= (size_t)wrote;
        memmove(s->pending, s->pending + wrote, s->pending_size);
        if (s->text_left && !(s->text_left -= (uint32_t)wrote))
            sink_close(s, 0);
    }
    if (s->kind == FILE_WRITE)
        s->total += taken; /* and needs no credit: a file takes all at once */
    else if (taken && s->sink >= 0)
        send_number(CREDIT, s->id, taken, 4);
    if (error && error != EAGAIN)
        sink_close(s, error);
    else if (s->sink >= 0 && s->pending_end && !s->pending_size)
        sink_close(s, 0);
}
