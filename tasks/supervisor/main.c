/* Start-up and the loop. Called as `supervisor IDLE_SECONDS DIRECTORY` it says HELLO and turns into a login shell that
 * turns into `supervisor --serve …`: what the image's profiles set up (conda, say) is made once and inherited. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PREPARE "[ -r \"$BASH_ENV\" ] && . \"$BASH_ENV\"; unset BASH_ENV ENV; "
#define FUNCTIONS "for name in $(compgen -A function); do export -f \"$name\"; done; unset name; "
#define SERVE "exec \"$0\" --serve \"$@\""

const char *shell, *working_directory;
bool shell_is_bash;
uint64_t now;
static struct stream *first;
static size_t count;
extern char **environ;

_Noreturn void give_up(const char *why) {
    dprintf(TO_HOST, "%s", why); /* no frame: the host takes it for the end */
    exit(1);
}

struct stream *streams(void) { return first; }

struct stream *stream_new(uint32_t id, enum kind kind) {
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        give_up("out of memory");
    *s = (struct stream){.next = first, .id = id, .kind = kind, .source = -1, .sink = -1, .program = -1, .credit = WINDOW};
    first = s;
    count++;
    return s;
}

/* Takes effect between rounds (`collect`): a caller up the stack may still look at it. */
void stream_close(struct stream *s) {
    if (s->closed)
        return;
    s->closed = true;
    if (s->source >= 0)
        close(s->source);
    if (s->sink >= 0 && s->sink != s->source)
        close(s->sink);
    if (s->program >= 0)
        close(s->program);
}

static void collect(void) {
    for (struct stream **at = &first; *at;) {
        struct stream *s = *at;
        if (!s->closed) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        if (s->outcome)
            munmap(s->outcome, sizeof *s->outcome);
        free(s->pending);
        free(s->directory);
        free(s->text);
        free(s->ring);
        free(s);
        count--;
    }
}

static struct stream *find(uint32_t id) {
    for (struct stream *s = first; s; s = s->next)
        if (s->id == id && !s->closed && s->kind != LEFTOVER)
            return s;
    return NULL;
}

static void stream_frame(enum type type, struct stream *s, const uint8_t *payload, size_t size) {
    bool file = s->kind == FILE_WRITE, command = s->kind == COMMAND;
    if (type == CREDIT && size == 4)
        s->credit += get_u(payload, 4);
    else if (type == DATA)
        file ? file_data(s, payload, size) : command ? command_data(s, payload, size) : sink_data(s, payload, size);
    else if (type == END)
        file ? file_end(s) : command ? command_end(s) : sink_end(s);
    else if (type == RESET)
        command ? command_cancel(s) : stream_close(s);
}

static void frame(enum type type, uint32_t id, const uint8_t *payload, size_t size) {
    struct stream *s = find(id);
    if (s)
        stream_frame(type, s, payload, size);
    else if (type == EXEC)
        command_open(id, payload, size);
    else if (type == READ && size >= 8)
        file_read_open(id, payload, size);
    else if (type == WRITE)
        file_write_open(id, payload, size);
    else if (type == LISTEN)
        listener_open(id, payload, size);
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

static void leftover_source(struct stream *s) {
    static char buffer[ROUND];
    ssize_t got = read(s->source, buffer, sizeof buffer);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        stream_close(s);
}

static bool wants_source(const struct stream *s) {
    if (s->source < 0)
        return false;
    if (s->kind == COMMAND)
        return s->started && command_wants_source(s);
    if (s->kind == LISTENER)
        return count < MAX_STREAMS && wire_has_room();
    return s->kind == LEFTOVER || (s->credit && wire_has_room());
}

static void on_source(struct stream *s) {
    switch (s->kind) {
    case COMMAND: command_source(s); break;
    case FILE_READ: file_source(s); break;
    case LISTENER: listener_source(s); break;
    case CONNECTION: connection_source(s); break;
    case LEFTOVER: leftover_source(s); break;
    case FILE_WRITE: break;
    }
}

/* A child of ours: a command's shell, or what somebody left behind. */
static void children(int signals) {
    struct signalfd_siginfo info[16];
    int status;
    pid_t pid;
    (void)!read(signals, info, sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (struct stream *s = first; s; s = s->next)
            if (s->kind == COMMAND && command_child_ended(s, pid, status))
                break;
}

static uint64_t milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int patience(uint64_t idle_until) {
    uint64_t due = idle_until;
    for (struct stream *s = first; s; s = s->next)
        if (s->kind == COMMAND && !s->closed && command_due(s) < due)
            due = command_due(s);
    return due <= now ? 0 : due - now > 1u << 30 ? 1 << 30 : (int)(due - now);
}

/* What to wait for: slot 0 the host's frames, 1 our buffer, 2 signals, then one or two for each stream. */
static size_t prepare(struct pollfd *polled, struct stream **owners, int signals) {
    polled[0] = (struct pollfd){FROM_HOST, POLLIN, 0};
    polled[1] = (struct pollfd){wire_waiting() ? TO_HOST : -1, POLLOUT, 0};
    polled[2] = (struct pollfd){signals, POLLIN, 0};
    size_t n = 3;
    for (struct stream *s = first; s; s = s->next) {
        if (wants_source(s)) {
            owners[n] = s;
            polled[n++] = (struct pollfd){s->source, POLLIN, 0};
        }
        if (s->sink >= 0 && s->pending_size) {
            owners[n] = s;
            polled[n++] = (struct pollfd){s->sink, POLLOUT, 0};
        }
    }
    return n;
}

static void serve(uint64_t idle_ms) {
    sigset_t watched;
    sigfillset(&watched);
    sigprocmask(SIG_SETMASK, &watched, NULL);
    int signals = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    static struct pollfd *polled;
    static struct stream **owners;
    uint64_t last_heard = now = milliseconds();
    for (;;) {
        collect();
        polled = realloc(polled, (2 * count + 3) * sizeof *polled);
        owners = realloc(owners, (2 * count + 3) * sizeof *owners);
        if (!polled || !owners)
            give_up("out of memory");
        size_t n = prepare(polled, owners, signals);
        int ready = poll(polled, n, patience(last_heard + idle_ms));
        now = milliseconds();
        if (ready < 0 && errno != EINTR)
            give_up("poll");
        if (polled[2].revents)
            children(signals);
        if (polled[0].revents) {
            last_heard = now;
            if (!from_host())
                return;
        }
        for (size_t i = 3; ready > 0 && i < n; i++) {
            if (!polled[i].revents || owners[i]->closed)
                continue;
            if (polled[i].events == POLLIN && polled[i].fd == owners[i]->source)
                on_source(owners[i]);
            else if (polled[i].events == POLLOUT && polled[i].fd == owners[i]->sink)
                sink_write(owners[i]);
        }
        bool busy = false;
        for (struct stream *s = first; s; s = s->next)
            if (s->kind == COMMAND && !s->closed) {
                command_tick(s);
                busy = true;
            }
        if (!busy && now >= last_heard + idle_ms)
            return;
        wire_flush();
    }
}

/* The first executable of this name on PATH. */
static char *which(const char *name) {
    static char path[4096];
    const char *all = getenv("PATH");
    for (const char *at = all ? all : "/usr/local/bin:/usr/bin:/bin"; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
        snprintf(path, sizeof path, "%.*s/%s", (int)strcspn(at, ":"), at, name);
        struct stat facts;
        if (access(path, X_OK) == 0 && stat(path, &facts) == 0 && S_ISREG(facts.st_mode))
            return strdup(path);
    }
    return NULL;
}

static void find_shell(void) {
    shell = which("bash");
    shell_is_bash = shell != NULL;
    if (!shell)
        shell = which("sh");
}

/* Our own descriptors leave the numbers that commands use: 0–2 and PROGRAM are /dev/null until a command has its own. */
static void take_stream(void) {
    dup2(STDIN_FILENO, FROM_HOST);
    dup2(STDOUT_FILENO, TO_HOST);
    int none = open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2; fd++)
        dup2(none, fd);
    if (none > TO_HOST)
        close(none);
}

static void login(char **arguments) {
    uint8_t version = 1;
    take_stream();
    send_frame(HELLO, 0, &version, 1);
    wire_flush();
    find_shell();
    if (!shell)
        give_up("no shell");
    char *through_bash[] = {"bash", "-l", "-c", PREPARE FUNCTIONS SERVE, arguments[0], arguments[1], arguments[2], NULL};
    char *through_sh[] = {"sh", "-l", "-c", PREPARE SERVE, arguments[0], arguments[1], arguments[2], NULL};
    execve(shell, shell_is_bash ? through_bash : through_sh, environ);
    give_up("the shell does not start");
}

int main(int count_of, char **arguments) {
    if (count_of == 3)
        login(arguments);
    if (count_of != 4 || strcmp(arguments[1], "--serve") != 0)
        return 2;
    prctl(PR_SET_NAME, "supervisor");
    prctl(PR_SET_DUMPABLE, 0); /* what it runs shall not reach its descriptors through /proc */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int fd = open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0 && fd <= PROGRAM;)
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    fcntl(FROM_HOST, F_SETFD, FD_CLOEXEC);
    fcntl(TO_HOST, F_SETFD, FD_CLOEXEC);
    fcntl(TO_HOST, F_SETFL, fcntl(TO_HOST, F_GETFL) | O_NONBLOCK);
    umask(022);
    unsetenv("OLDPWD");
    find_shell();
    working_directory = arguments[3];
    tree_begin();
    send_frame(READY, 0, shell, strlen(shell));
    wire_flush();
    serve(strtoull(arguments[2], NULL, 10) * 1000);
    return 0;
}
