/* A command: a shell of its own in a session of its own. Its first `head` bytes of output go to the host as they come;
 * of what follows the last `tail` bytes are kept here, so that endless output costs nobody memory. It ends when its
 * shell ends: what it left running goes on, and what that prints is dropped. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_VARIABLE = 100000 };
enum { POLITE_MS = 500, ROUND_MS = 20, STOPPING_ROUNDS = 30, ROUNDS = 60 };

/* The text is not among the shell's arguments, where `pkill -f` would find it: it comes as a variable, or, where it is
 * too long for one, as a file. */
#define SHORT "eval \"unset __command; $__command\""
#define LONG_BASH "IFS= read -r -N 1073741824 -u 9 __command; exec 9<&-; eval \"unset __command; $__command\""
#define LONG_SH ". /proc/self/fd/9"
#define VARIABLE "__command="

extern char **environ;

void command_open(uint32_t id, const uint8_t *payload, size_t size) {
    if (size < 25)
        give_up("a short request");
    struct stream *s = stream_new(id, COMMAND);
    s->flags = payload[0];
    s->timeout_ms = get_u(payload + 1, 8);
    s->head = get_u(payload + 9, 8);
    s->tail = get_u(payload + 17, 8);
    s->directory = calloc(1, size - 25 + 1);
    s->text = strdup(VARIABLE);
    s->text_size = strlen(VARIABLE);
    if (!s->directory || !s->text)
        give_up("out of memory");
    memcpy(s->directory, payload + 25, size - 25);
}

static void say(struct stream *s, const char *text) {
    send_frame(DATA, s->id, text, strlen(text));
    s->total += strlen(text);
}

static void finish(struct stream *s, int code) {
    if (s->ring_total) {
        uint64_t kept = s->ring_total < s->tail ? s->ring_total : s->tail;
        if (s->ring_total > kept) {
            uint8_t gap[8];
            put_u(gap, s->ring_total - kept, 8);
            send_frame(GAP, s->id, gap, sizeof gap);
        }
        uint64_t at = (s->ring_total - kept) % (s->tail ? s->tail : 1);
        while (kept) {
            uint64_t piece = s->tail - at < kept ? s->tail - at : kept;
            piece = piece < MAX_PAYLOAD ? piece : MAX_PAYLOAD;
            send_frame(DATA, s->id, s->ring + at, piece);
            at = (at + piece) % s->tail;
            kept -= piece;
        }
    }
    send_result(s->id, s->timed_out ? 124 : code, s->timed_out, s->total, "");
    if (s->source >= 0 && s->started) { /* somebody may still hold the other end: a broken pipe would end it */
        struct stream *rest = stream_new(0, LEFTOVER);
        rest->source = s->source;
        s->source = -1;
    }
    stream_close(s);
}

/* In the child of vfork: only system calls on what was prepared. Returns only when it fails. */
static void become_shell(struct stream *s, int in, int out, char *const arguments[], char *const variables[]) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    s->outcome->pid = getpid(); /* noted before it can kill the one who would note it */
    if (s->program >= 0)
        dup2(s->program, PROGRAM);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execve(shell, arguments, variables);
}

/* The kernel shall take the command before us. */
static void prefer_to_kill(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int score = open(path, O_WRONLY | O_CLOEXEC);
    if (score >= 0) {
        (void)!write(score, "500", 3);
        close(score);
    }
}

/* The environment, and the command's text in it. */
static char **with_text(struct stream *s) {
    size_t n = 0;
    while (environ[n])
        n++;
    char **all = calloc(n + 2, sizeof *all);
    if (!all)
        _exit(127);
    memcpy(all, environ, n * sizeof *all);
    if (s->program < 0)
        all[n] = s->text;
    return all;
}

/* The shell's parent, so that `kill $PPID` does not reach the supervisor. Notes the shell's end and ends. */
_Noreturn static void keep(struct stream *s, int in, int out) {
    char *arguments[] = {shell_is_bash ? "bash" : "sh", "-c", s->program < 0 ? SHORT : shell_is_bash ? LONG_BASH : LONG_SH, NULL};
    char **variables = with_text(s);
    struct outcome *outcome = s->outcome;
    int status;
    tree_mark(s->id);
    pid_t pid = vfork();
    if (pid == 0) {
        become_shell(s, in, out, arguments, variables);
        outcome->error = errno;
        _exit(127);
    }
    if (pid < 0)
        outcome->error = errno;
    close(in);
    close(out);
    for (struct stream *other = streams(); other; other = other->next) {
        close(other->source); /* the other commands' pipes: their ends must show */
        close(other->sink);
    }
    if (pid > 0) {
        prefer_to_kill(pid);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        outcome->status = status;
        outcome->ended = true;
    }
    _exit(0);
}

/* Enters the command's directory; what it prints and its exit code where that fails, as a shell would. */
static bool enter(struct stream *s) {
    char text[512];
    if (chdir(s->directory) == 0)
        return true;
    if (s->flags & EXEC_DEFAULT) {
        snprintf(text, sizeof text, "[%s is gone: running in /]\n", s->directory);
        say(s, text);
        return chdir("/") == 0;
    }
    snprintf(text, sizeof text, "cd: %s: %s\n", s->directory, strerror(errno));
    say(s, text);
    return false;
}

static void cannot_start(struct stream *s, int error) {
    char text[128];
    snprintf(text, sizeof text, "%s: cannot start: %s\n", shell, strerror(error));
    say(s, text);
    finish(s, error == EAGAIN || error == ENOMEM ? 254 : 126);
}

static void text_to_file(struct stream *s) {
    size_t at = strlen(VARIABLE);
    s->program = memfd_create("command", MFD_CLOEXEC);
    while (at < s->text_size) {
        ssize_t wrote = write(s->program, s->text + at, s->text_size - at);
        if (wrote < 0)
            give_up("out of memory");
        at += (size_t)wrote;
    }
    lseek(s->program, 0, SEEK_SET);
}

static void start(struct stream *s) {
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    if (!enter(s)) {
        finish(s, 1);
        return;
    }
    if (s->text_size > LONGEST_VARIABLE)
        text_to_file(s);
    bool interactive = s->flags & EXEC_STDIN;
    if (pipe2(out, O_CLOEXEC) < 0 || (interactive ? pipe2(in, O_CLOEXEC) < 0 : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0))
        give_up("no more files can be opened");
    s->outcome = mmap(NULL, sizeof *s->outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->outcome == MAP_FAILED)
        give_up("out of memory");
    tree_expect(s->id);
    s->source = out[0];
    s->sink = in[1];
    pid_t pid = fork();
    if (pid == 0)
        keep(s, in[0], out[1]);
    int error = errno;
    close(in[0]);
    close(out[1]);
    if (s->program >= 0)
        close(s->program);
    s->program = -1;
    free(s->text);
    s->text = NULL;
    if (pid < 0) {
        cannot_start(s, error);
        return;
    }
    fcntl(s->source, F_SETFL, O_NONBLOCK);
    if (s->sink >= 0)
        fcntl(s->sink, F_SETFL, O_NONBLOCK);
    s->pid = pid;
    s->started = true;
    s->deadline = now + s->timeout_ms;
}

void command_data(struct stream *s, const uint8_t *data, size_t size) {
    if (!s->text) {
        sink_data(s, data, size);
        return;
    }
    if (!(s->text = realloc(s->text, s->text_size + size + 1)))
        give_up("out of memory");
    memcpy(s->text + s->text_size, data, size);
    s->text_size += size;
    s->text[s->text_size] = 0;
}

void command_end(struct stream *s) {
    if (s->text)
        start(s);
    else
        sink_end(s);
}

static void keep_tail(struct stream *s, const char *data, size_t size) {
    if (s->tail == 0) {
        s->ring_total += size;
        return;
    }
    if (!s->ring && !(s->ring = malloc(s->tail)))
        give_up("out of memory");
    if (size > s->tail) {
        s->ring_total += size - s->tail;
        data += size - s->tail;
        size = s->tail;
    }
    while (size) {
        uint64_t at = s->ring_total % s->tail, piece = s->tail - at;
        piece = piece < size ? piece : size;
        memcpy(s->ring + at, data, piece);
        s->ring_total += piece;
        data += piece;
        size -= piece;
    }
}

bool command_wants_source(const struct stream *s) {
    return s->total >= s->head || (s->credit && wire_has_room());
}

void command_source(struct stream *s) {
    static char buffer[ROUND];
    uint64_t want = ROUND;
    bool within_head = s->total < s->head;
    if (within_head && want > s->head - s->total)
        want = s->head - s->total;
    if (within_head && want > s->credit)
        want = s->credit;
    if (s->drain && want > s->drain)
        want = s->drain;
    ssize_t got = want ? read(s->source, buffer, want) : 0;
    if (got > 0) {
        s->total += (uint64_t)got;
        s->drain -= s->drain ? (uint64_t)got : 0;
        if (within_head) {
            s->credit -= (uint64_t)got;
            send_frame(DATA, s->id, buffer, (size_t)got);
        } else
            keep_tail(s, buffer, (size_t)got);
    } else if (got == 0 || errno != EAGAIN) {
        close(s->source);
        s->source = -1;
        s->drain = 0;
    } else
        s->drain = 0;
    if (s->exited && !s->drain && !s->round)
        finish(s, s->code);
}

/* The shell is gone: what is in the pipe by now is its output still. */
static void wind_up(struct stream *s) {
    int waiting = 0;
    if (s->source >= 0)
        ioctl(s->source, FIONREAD, &waiting);
    s->exited = true;
    s->drain = waiting > 0 ? (uint64_t)waiting : 0;
    if (!s->drain)
        finish(s, s->code);
}

static void shell_ended(struct stream *s, int status) {
    s->pid = 0;
    s->exited = true;
    s->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (!s->round)
        wind_up(s);
}

/* `pid` ended: our child between us and the shell, or the shell itself, which becomes our child when that is killed. */
bool command_child_ended(struct stream *s, pid_t pid, int status) {
    if (!s->pid || (pid != s->pid && pid != s->outcome->pid))
        return false;
    if (pid != s->pid || pid == s->outcome->pid)
        shell_ended(s, status);
    else if (s->outcome->error)
        cannot_start(s, s->outcome->error);
    else if (s->outcome->ended)
        shell_ended(s, s->outcome->status);
    else if (s->outcome->pid)
        s->pid = s->outcome->pid;
    else
        shell_ended(s, SIGKILL);
    return true;
}

void command_cancel(struct stream *s) {
    if (s->started && !s->round)
        s->deadline = now;
    else if (!s->started)
        stream_close(s);
}

uint64_t command_due(const struct stream *s) {
    if (!s->started || (s->exited && !s->round))
        return UINT64_MAX;
    return s->round ? s->next_round : s->deadline;
}

/* What is out of time ends politely, half a second later not. All are stopped before any is killed: a fork bomb
 * refills what is killed. */
void command_tick(struct stream *s) {
    if (now < command_due(s))
        return;
    if (!s->round) {
        s->timed_out = true;
        s->round = 1;
        s->next_round = now + ROUND_MS;
        tree_signal(s->id, SIGTERM, false);
        return;
    }
    s->next_round = now + ROUND_MS;
    int alive = tree_signal(s->id, 0, false);
    if (alive && now < s->deadline + POLITE_MS)
        return;
    if (alive && s->round < ROUNDS) {
        bool stopping = s->round < STOPPING_ROUNDS && tree_signal(s->id, SIGSTOP, true) > 0;
        if (!stopping)
            tree_signal(s->id, SIGKILL, false);
        s->round++;
        return;
    }
    if (alive)
        kill(-1, SIGKILL); /* all but init and us */
    if (!s->exited && s->round++ < 2 * ROUNDS) {
        kill(s->pid, SIGKILL); /* it was so slow to start that nobody bore its mark yet */
        return;
    }
    s->round = 0;
    wind_up(s);
}
