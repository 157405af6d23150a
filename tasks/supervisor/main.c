/* Start-up and the loop. Called as `supervisor IDLE_SECONDS DIRECTORY` it says HELLO and turns into a login shell that
 * turns into `supervisor --serve SHELL …`: what the image's profiles set up (conda, say) is made once and inherited. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PREPARE "[ -r \"$BASH_ENV\" ] && . \"$BASH_ENV\"; unset BASH_ENV ENV; "
#define FUNCTIONS "for name in $(compgen -A function); do export -f \"$name\"; done; unset name; "
#define SERVE(name) "exec \"$0\" --serve " name " \"$@\""
#define IMAGE_PATH "ASCLAIMED_IMAGE_PATH" /* PATH as the image has it, while its profiles set their own */
#define SYSTEM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
enum { VERSION = 2, FIRST_STREAM = 3 }; /* among what is polled */

const char *shell, *working_directory;
uint64_t now;
struct stream *streams;
static size_t count;

_Noreturn void give_up(const char *why) {
    dprintf(TO_HOST, "%s", why); /* no frame: the host takes it for the end */
    exit(1);
}

void *allocated(void *memory) {
    if (!memory)
        give_up("out of memory");
    return memory;
}

struct stream *stream_new(uint32_t id, enum kind kind) {
    struct stream *s = allocated(calloc(1, sizeof *s));
    *s = (struct stream){.next = streams, .id = id, .kind = kind, .source = -1, .sink = -1, .input = -1,
                         .credit = WINDOW, .head = UINT64_MAX, .left = UINT64_MAX};
    streams = s;
    count++;
    return s;
}

/* Takes effect between rounds (`collect`): a caller up the stack may still look at it. */
void stream_close(struct stream *s) {
    if (s->closed)
        return;
    s->closed = true;
    close(s->source);
    if (s->sink != s->source)
        close(s->sink);
    close(s->input);
}

static void collect(void) {
    for (struct stream **at = &streams; *at;) {
        struct stream *s = *at;
        if (!s->closed) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        if (s->shell)
            munmap((void *)s->shell, sizeof *s->shell);
        free(s->pending);
        free(s->directory);
        free(s->ring);
        free(s);
        count--;
    }
}

static void stream_frame(enum type type, struct stream *s, const uint8_t *payload, size_t size) {
    if (type == CREDIT && size == 4)
        s->credit += get_u(payload, 4);
    else if (type == DATA)
        sink_data(s, payload, size);
    else if (type == END)
        sink_end(s);
    else if (type == RESET)
        s->kind == COMMAND ? command_cancel(s) : stream_close(s);
}

static void frame(enum type type, uint32_t id, const uint8_t *payload, size_t size) {
    struct stream *s = streams;
    while (s && (s->id != id || s->closed || !id))
        s = s->next;
    if (s)
        stream_frame(type, s, payload, size);
    else if (type == EXEC)
        command_open(id, payload, size);
    else if (type == READ && size >= 8)
        file_open(id, FILE_READ, get_u(payload, 8), payload + 8, size - 8);
    else if (type == WRITE)
        file_open(id, FILE_WRITE, 0, payload, size);
    else if (type == LISTEN && size == 2)
        listener_open(id, (uint16_t)get_u(payload, 2));
}

/* All whole frames that are there. False at the end of the stream. */
static bool from_host(void) {
    static uint8_t buffer[2 * (MAX_PAYLOAD + HEADER)];
    static size_t held;
    ssize_t got = read(FROM_HOST, buffer + held, sizeof buffer - held);
    if (got <= 0)
        return got < 0 && (errno == EINTR || errno == EAGAIN);
    held += (size_t)got;
    size_t at = 0;
    while (held - at >= HEADER) {
        size_t size = get_u(buffer + at + 5, 4);
        if (size > MAX_PAYLOAD)
            give_up("a frame that is too large");
        if (held - at < HEADER + size)
            break;
        frame(buffer[at], (uint32_t)get_u(buffer + at + 1, 4), buffer + at + HEADER, size);
        at += HEADER + size;
    }
    memmove(buffer, buffer + at, held - at);
    held -= at;
    return true;
}

/* A child of ours: between us and a command's shell, or what somebody left behind. */
static void children(int signals) {
    struct signalfd_siginfo info[16];
    int status;
    pid_t pid;
    (void)!read(signals, info, sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (struct stream *s = streams; s; s = s->next)
            if (s->kind == COMMAND && !s->closed && command_child_ended(s, pid, status))
                break;
}

static uint64_t milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits for anything: slot 0 the host's frames, 1 room for ours, 2 signals, then each stream's source and sink. */
static struct pollfd *wait_for(int signals, uint64_t due) {
    static struct pollfd *polled;
    polled = allocated(realloc(polled, (2 * count + FIRST_STREAM) * sizeof *polled));
    struct pollfd *at = polled + FIRST_STREAM;
    polled[0] = (struct pollfd){FROM_HOST, POLLIN, 0};
    polled[1] = (struct pollfd){out_next() <= now ? TO_HOST : -1, POLLOUT, 0};
    if (out_next() > now && out_next() < due)
        due = out_next();
    polled[2] = (struct pollfd){signals, POLLIN, 0};
    for (struct stream *s = streams; s; s = s->next) {
        bool room = s->kind != LISTENER || count < MAX_STREAMS, is_spare = s->kind == COMMAND && !s->id;
        *at++ = (struct pollfd){room && !is_spare && source_wanted(s) ? s->source : -1, POLLIN, 0};
        *at++ = (struct pollfd){s->pending_size ? s->sink : -1, POLLOUT, 0};
        if (s->kind == COMMAND && command_due(s) < due)
            due = command_due(s);
    }
    if (poll(polled, (nfds_t)(at - polled), due <= now ? 0 : due - now > 1u << 30 ? 1 << 30 : (int)(due - now)) < 0)
        give_up("poll"); /* all signals are blocked: nothing interrupts it */
    now = milliseconds();
    return polled;
}

static void serve(uint64_t idle_ms) {
    sigset_t watched;
    sigfillset(&watched);
    sigprocmask(SIG_SETMASK, &watched, NULL);
    int signals = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    uint64_t last_active = now = milliseconds();
    for (;;) {
        collect();
        struct pollfd *polled = wait_for(signals, last_active + idle_ms), *at = polled + FIRST_STREAM;
        for (struct stream *s = streams; s; s = s->next, at += 2) { /* new ones come before these */
            if (at[0].revents && !s->closed)
                s->kind == LISTENER ? listener_accept(s) : source_read(s);
            if (at[1].revents && !s->closed)
                sink_write(s);
        }
        if (polled[0].revents && !from_host())
            return;
        if (polled[0].revents)
            last_active = now;
        for (struct stream *s = streams; s; s = s->next)
            if (s->kind == COMMAND && !s->closed && s->id) {
                command_tick(s);
                last_active = now;
            }
        children(signals); /* at the end: what a tick saw end is gone before the host hears of it */
        if (now >= last_active + idle_ms)
            return;
        out_flush();
        command_spare();
    }
}

/* Our own descriptors leave the numbers that commands use: 0–2 and PROGRAM are /dev/null until a command has its own. */
static void login(char **arguments) {
    dup2(STDIN_FILENO, FROM_HOST);
    dup2(STDOUT_FILENO, TO_HOST);
    int none = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; fd++)
        dup2(none, fd);
    if (none > TO_HOST)
        close(none);
    send_number(HELLO, 0, VERSION, 1);
    out_flush();
    if (getenv("PATH"))
        setenv(IMAGE_PATH, getenv("PATH"), 1);
    execlp("bash", "bash", "-l", "-c", PREPARE FUNCTIONS SERVE("bash"), arguments[0], arguments[1], arguments[2], NULL);
    execlp("sh", "sh", "-l", "-c", PREPARE SERVE("sh"), arguments[0], arguments[1], arguments[2], NULL);
    give_up("no shell starts");
}

static bool path_has(const char *path, const char *entry, size_t length) {
    for (; *path; path += strcspn(path, ":"), path += *path == ':')
        if (strcspn(path, ":") == length && memcmp(path, entry, length) == 0)
            return true;
    return false;
}

/* A system's /etc/profile sets PATH anew, and the image's own places (a venv, go) would be lost. What the profiles put before
 * all that the image or a system has stays in front (conda's), then come the image's in its order, then what else they added. */
static void path_restore(void) {
    const char *image = getenv(IMAGE_PATH), *path = getenv("PATH");
    if (image && *image) {
        path = path ? path : "";
        char *made = allocated(malloc(strlen(image) + strlen(path) + 3)), *end = made;
        for (int is_rest = 0; is_rest < 2; is_rest++) {
            bool is_front = true;
            if (is_rest)
                end += sprintf(end, "%s:", image);
            for (const char *at = path; *at; at += *at == ':') {
                size_t length = strcspn(at, ":");
                bool is_shared = path_has(image, at, length);
                is_front &= !is_shared && !path_has(SYSTEM_PATH, at, length);
                if (!is_shared && is_front != is_rest)
                    end += sprintf(end, "%.*s:", (int)length, at);
                at += length;
            }
        }
        end[-1] = 0;
        setenv("PATH", made, 1);
        free(made);
    }
    unsetenv(IMAGE_PATH);
}

int main(int arguments_count, char **arguments) {
    if (arguments_count == 3)
        login(arguments);
    if (arguments_count != 5 || strcmp(arguments[1], "--serve") != 0)
        return 2;
    prctl(PR_SET_NAME, "supervisor");
    prctl(PR_SET_DUMPABLE, 0); /* what it runs shall not reach its descriptors through /proc */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int fd = 0; fd >= 0 && fd <= PROGRAM;)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    fcntl(FROM_HOST, F_SETFD, FD_CLOEXEC);
    fcntl(TO_HOST, F_SETFD, FD_CLOEXEC);
    fcntl(TO_HOST, F_SETFL, fcntl(TO_HOST, F_GETFL) | O_NONBLOCK);
    umask(022);
    unsetenv("OLDPWD");
    path_restore();
    shell = arguments[2];
    working_directory = arguments[4];
    tree_begin();
    send_frame(READY, 0, shell, strlen(shell));
    out_flush();
    serve(strtoull(arguments[3], NULL, 10) * 1000);
    return 0;
}
