/* Files, relative to the working directory, regular ones only; and ports on the container's own loopback, whose
 * connections the host answers: the container needs no network for it. */
#include "supervisor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* All parents of `path`; one that is there, or cannot be made, shows when the file is opened. */
static void make_parents(char *path) {
    for (char *slash = *path ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
}

/* O_NONBLOCK: a FIFO must not hold us. */
void file_open(uint32_t id, enum kind kind, uint64_t most, const uint8_t *path, size_t size) {
    static char name[MAX_PAYLOAD + 1];
    struct stat facts;
    bool writes = kind == FILE_WRITE;
    memcpy(name, path, size);
    name[size] = 0;
    if (chdir(working_directory) < 0)
        chdir("/");
    if (writes)
        make_parents(name);
    int fd = open(name, (writes ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    if (fd < 0 || fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode)) {
        send_result(id, fd < 0 ? errno : S_ISDIR(facts.st_mode) ? EISDIR : EINVAL, false, 0);
        if (fd >= 0)
            close(fd);
        return;
    }
    struct stream *s = stream_new(id, kind);
    *(writes ? &s->sink : &s->source) = fd;
    s->left = most;
}

void listener_open(uint32_t id, uint16_t port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    socklen_t length = sizeof at;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) < 0) {
        send_result(id, errno, false, 0);
        if (fd >= 0)
            close(fd);
        return;
    }
    stream_new(id, LISTENER)->source = fd;
    send_number(LISTEN, id, ntohs(at.sin_port), 2);
}

void listener_accept(struct stream *s) {
    static uint32_t last_connection = 1u << 31;
    int yes = 1, fd = accept4(s->source, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct stream *made = stream_new(++last_connection, CONNECTION);
    made->source = made->sink = fd;
    send_number(ACCEPT, made->id, s->id, 4);
}
