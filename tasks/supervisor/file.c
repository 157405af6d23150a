/* Files, relative to the working directory: read in pieces as the host grants credit, written as its DATA comes.
 * Regular files only. A RESULT's code is 0 or the errno. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void fail(uint32_t id, int error, const char *text) { send_result(id, error, false, 0, text ? text : strerror(error)); }

static char *text_of(const uint8_t *payload, size_t size) {
    char *text = calloc(1, size + 1);
    if (!text)
        give_up("out of memory");
    memcpy(text, payload, size);
    return text;
}

static int base_directory(void) {
    int base = open(working_directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return base >= 0 ? base : open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Makes all parents of `path`; a component that exists is fine. */
static int make_parents(int base, char *path) {
    for (char *slash = *path ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int made = mkdirat(base, path, 0777);
        *slash = '/';
        if (made < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

/* An open regular file, or −errno. O_NONBLOCK: a FIFO must not hold us. */
static int open_regular(const uint8_t *path, size_t size, int flags) {
    struct stat facts;
    char *name = text_of(path, size);
    int base = base_directory(), fd = -1, error = 0;
    if (fstatat(base, name, &facts, 0) == 0 && !S_ISREG(facts.st_mode))
        error = S_ISDIR(facts.st_mode) ? EISDIR : EINVAL;
    else if ((flags & O_CREAT) && make_parents(base, name) < 0)
        error = errno;
    else if ((fd = openat(base, name, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666)) < 0)
        error = errno;
    else if (fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode)) {
        error = EINVAL;
        close(fd);
    }
    close(base);
    free(name);
    return error ? -error : fd;
}

static void failed_open(uint32_t id, int error) { fail(id, error, error == EINVAL ? "not a regular file" : NULL); }

void file_read_open(uint32_t id, const uint8_t *payload, size_t size) {
    int fd = open_regular(payload + 8, size - 8, O_RDONLY);
    if (fd < 0) {
        failed_open(id, -fd);
        return;
    }
    struct stream *s = stream_new(id, FILE_READ);
    s->source = fd;
    s->most = get_u(payload, 8);
}

void file_source(struct stream *s) {
    static char buffer[ROUND];
    uint64_t want = ROUND;
    if (want > s->credit)
        want = s->credit;
    if (want > s->most - s->total)
        want = s->most - s->total;
    ssize_t got = want ? read(s->source, buffer, want) : 0;
    if (got > 0) {
        send_frame(DATA, s->id, buffer, (size_t)got);
        s->total += (uint64_t)got;
        s->credit -= (uint64_t)got;
        return;
    }
    if (got < 0)
        fail(s->id, errno, NULL);
    else
        send_result(s->id, 0, false, s->total, "");
    stream_close(s);
}

void file_write_open(uint32_t id, const uint8_t *payload, size_t size) {
    int fd = open_regular(payload, size, O_WRONLY | O_CREAT | O_TRUNC);
    struct stream *s = stream_new(id, FILE_WRITE);
    s->sink = fd;
    if (fd < 0) {
        failed_open(id, -fd);
        s->sink = -1; /* what follows is dropped; the stream ends with the host's END */
    }
}

void file_data(struct stream *s, const uint8_t *data, size_t size) {
    while (s->sink >= 0 && size) {
        ssize_t wrote = write(s->sink, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0) {
            fail(s->id, errno, NULL);
            close(s->sink);
            s->sink = -1;
            return;
        }
        data += wrote;
        size -= (size_t)wrote;
        s->total += (uint64_t)wrote;
    }
}

void file_end(struct stream *s) {
    if (s->sink >= 0)
        send_result(s->id, 0, false, s->total, "");
    stream_close(s);
}
