/* Frames to the host. Nothing here blocks: what the host does not take yet waits in one buffer, which stays small
 * because no source is read while it is large (`wire_has_room`). */
#include "supervisor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint8_t *out;
static size_t out_at, out_size, out_capacity;

uint64_t get_u(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

void put_u(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++, value >>= 8)
        at[i] = (uint8_t)value;
}

static void append(const void *data, size_t size) {
    if (size == 0)
        return;
    if (out_at + out_size + size > out_capacity) {
        if (out_size)
            memmove(out, out + out_at, out_size);
        out_at = 0;
        while (out_size + size > out_capacity) {
            out_capacity = out_capacity ? out_capacity * 2 : 2 * MAX_PAYLOAD;
            if (!(out = realloc(out, out_capacity)))
                give_up("out of memory");
        }
    }
    memcpy(out + out_at + out_size, data, size);
    out_size += size;
}

void send_frame(enum type type, uint32_t id, const void *payload, size_t size) {
    uint8_t header[HEADER] = {(uint8_t)type};
    put_u(header + 1, id, 4);
    put_u(header + 5, size, 4);
    append(header, sizeof header);
    append(payload, size);
}

void send_result(uint32_t id, int code, bool timed_out, uint64_t total, const char *text) {
    uint8_t payload[13 + 256];
    size_t length = strnlen(text, 256);
    put_u(payload, (uint32_t)code, 4);
    payload[4] = timed_out;
    put_u(payload + 5, total, 8);
    memcpy(payload + 13, text, length);
    send_frame(RESULT, id, payload, 13 + length);
}

bool wire_has_room(void) { return out_size < OUT_LIMIT; }

size_t wire_waiting(void) { return out_size; }

void wire_flush(void) {
    while (out_size) {
        ssize_t sent = write(TO_HOST, out + out_at, out_size);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent <= 0)
            give_up("the host is gone");
        out_at += (size_t)sent;
        out_size -= (size_t)sent;
    }
    out_at = 0;
}
