/* A command: a shell of its own in a session of its own, which reads the text to run from a pipe. A bash takes longer to
 * start than most commands take, so the next ones are begun while a command runs (the spares): they wait for a text where
 * the last command ran, and are used if the next one runs there, too; two, since either can start on a core of its own. A command ends when its shell ends: what it left
 * running goes on, and what that prints is dropped. */
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

enum { HEAD_OF_EXEC = 29 };
enum { POLITE_MS = 500, ROUND_MS = 20, STOPPING_ROUNDS = 30, ROUNDS = 60 };

/* The text is not among the shell's arguments, where `pkill -f` would find it. While it waits a spare is listed under our
 * name; LC_ALL: bytes are read as they are. sh reads its text as a file does, and closes it by the text's first words. */
#define CALLED(name) "printf " name " 2>/dev/null >/proc/$$/comm; "
#define BASH CALLED("supervisor") "LC_ALL=C IFS= read -r -N 1073741824 -u 9 __command; exec 9<&-; " \
             CALLED("bash") "SECONDS=0; eval \"unset __command; $__command\""
#define SH ". /proc/self/fd/9"
#define SH_BEGINS "exec 9<&-; "

enum { SPARES = 2 };
static struct stream *spares[SPARES]; /* the oldest first */
static char last_directory[4096];

static bool is_bash(void) { return strcmp(shell, "bash") == 0; }

static int code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/* The kernel shall take a command before us. */
static void prefer_to_kill(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int score = open(path, O_WRONLY | O_CLOEXEC);
    if (score >= 0) {
        (void)!write(score, "500", 3);
        close(score);
    }
}

/* The shell's parent, so that `kill $PPID` does not reach the supervisor. Ends as the shell does. */
_Noreturn static void keep(struct stream *s, int in, int out, int text) {
    char *arguments[] = {(char *)shell, "-c", is_bash() ? BASH : SH, NULL};
    volatile pid_t *noted = s->shell;
    int status = 0;
    tree_mark(s->mark);
    dup2(text, PROGRAM);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    for (struct stream *other = streams; other; other = other->next) {
        close(other->source); /* also its own: the ends of pipes must show */
        close(other->sink);
        close(other->input);
    }
    close(text);
    pid_t pid = vfork();
    if (pid == 0) { /* only system calls on what was prepared */
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        *noted = getpid(); /* before it can kill the one who waits for it */
        execvp(shell, arguments);
        int error = errno;
        dprintf(STDERR_FILENO, "%s: cannot start: %s\n", shell, strerror(error));
        _exit(error == ENOMEM ? 254 : 126);
    }
    if (pid < 0)
        _exit(254);
    close(out);
    for (int fd = 0; fd <= PROGRAM; fd++)
        close(fd);
    prefer_to_kill(pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(code_of(status));
}

/* A shell in `directory`, where we are, that waits for its text. Its `pid` is negative where it could not be made. */
static struct stream *begin(const char *directory, bool interactive) {
    int in[2] = {-1, -1}, out[2], text[2];
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(text, O_CLOEXEC) < 0 ||
        (interactive ? pipe2(in, O_CLOEXEC) : (in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC))) < 0)
        give_up("no more files can be opened");
    struct stream *s = stream_new(0, COMMAND);
    s->directory = allocated(strdup(directory));
    stat(".", &s->place);
    s->shell = mmap(NULL, sizeof *s->shell, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->shell == MAP_FAILED)
        give_up("out of memory");
    s->source = out[0];
    s->sink = text[1];
    s->input = in[1];
    s->mark = tree_new_mark();
    s->pid = fork();
    if (s->pid == 0)
        keep(s, in[0], out[1], text[0]);
    close(in[0]);
    close(out[1]);
    close(text[0]);
    fcntl(s->source, F_SETFL, O_NONBLOCK);
    fcntl(s->sink, F_SETFL, O_NONBLOCK);
    if (interactive)
        fcntl(s->input, F_SETFL, O_NONBLOCK);
    return s;
}

/* Not needed: without a text it ends by itself, unless it was stopped. */
static void drop_spare(int number) {
    struct stream *s = spares[number];
    memmove(spares + number, spares + number + 1, (size_t)(SPARES - 1 - number) * sizeof *spares);
    spares[SPARES - 1] = NULL;
    if (*s->shell)
        kill(*s->shell, SIGKILL);
    stream_close(s);
}

/* Called when there is nothing better to do: what commands used up since the last time is made again. */
void command_spare(void) {
    int number = 0;
    if (is_bash() && *last_directory && chdir(last_directory) == 0)
        for (; number < SPARES; number++)
            if (!spares[number] && (spares[number] = begin(last_directory, false))->pid < 0) {
                drop_spare(number);
                break;
            }
    *last_directory = 0;
}

/* Whether it began as a shell of now would: in the directory of that name, and nobody ended it meanwhile. */
static bool is_like_new(const struct stream *s, const char *directory) {
    struct stat place;
    return strcmp(s->directory, directory) == 0 && stat(".", &place) == 0 && place.st_ino == s->place.st_ino &&
           place.st_dev == s->place.st_dev && *s->shell && tree_is_sound(*s->shell);
}

static struct stream *take_spare(const char *directory) {
    while (spares[0]) {
        struct stream *s = spares[0];
        if (*s->shell)
            kill(*s->shell, SIGCONT); /* nor does it stay stopped */
        if (is_like_new(s, directory)) {
            memmove(spares, spares + 1, (SPARES - 1) * sizeof *spares);
            spares[SPARES - 1] = NULL;
            return s;
        }
        drop_spare(0);
    }
    return NULL;
}

static void say(struct stream *s, const char *what, const char *name, const char *why) {
    char text[512];
    int size = snprintf(text, sizeof text, what, name, why);
    size = size < (int)sizeof text ? size : (int)sizeof text - 1;
    send_frame(DATA, s->id, text, (size_t)size);
    s->total += (uint64_t)size;
}

/* The last that the host hears of it. Somebody may still write into its pipe, whom a broken one would end. */
static void finish(struct stream *s, int code) {
    send_tail(s);
    send_result(s->id, s->timed_out ? 124 : code, s->timed_out, s->total);
    s->id = 0;
    s->kind = LEFTOVER;
    s->left = UINT64_MAX;
    close(s->sink);
    close(s->input);
    s->sink = s->input = -1;
    s->pending_size = 0;
    if (s->source < 0)
        stream_close(s);
}

void command_open(uint32_t id, const uint8_t *payload, size_t size) {
    char *directory = last_directory;
    if (size < HEAD_OF_EXEC || size - HEAD_OF_EXEC >= sizeof last_directory)
        give_up("a malformed request");
    memcpy(directory, payload + HEAD_OF_EXEC, size - HEAD_OF_EXEC);
    directory[size - HEAD_OF_EXEC] = 0;
    int entered = chdir(directory), error = errno;
    bool gone = entered < 0 && (payload[0] & EXEC_DEFAULT) && chdir("/") == 0, interactive = payload[0] & EXEC_STDIN;
    struct stream *s = entered < 0 || interactive ? NULL : take_spare(directory);
    if (!s)
        s = entered < 0 && !gone ? stream_new(0, COMMAND) : begin(gone ? "/" : directory, interactive);
    s->id = id;
    s->patient = !interactive;
    s->deadline = now + get_u(payload + 1, 8);
    s->head = get_u(payload + 9, 8);
    s->tail = get_u(payload + 17, 8) & 0x3fffffff;
    s->text_left = (uint32_t)get_u(payload + 25, 4);
    if (gone)
        say(s, "[%s is gone: running in /]\n", directory, NULL);
    else if (entered < 0) {
        say(s, "cd: %s: %s\n", directory, strerror(error));
        finish(s, 1);
        return;
    }
    if (s->pid < 0) {
        say(s, "%s: cannot start\n", shell, NULL);
        finish(s, 254);
        return;
    }
    if (!is_bash())
        (void)!write(s->sink, SH_BEGINS, strlen(SH_BEGINS));
    if (!s->text_left)
        sink_write(s);
}

/* The shell is gone: what is in the pipe by now is its output still. */
static void wind_up(struct stream *s) {
    int waiting = 0;
    if (s->source >= 0)
        ioctl(s->source, FIONREAD, &waiting);
    s->left = waiting > 0 ? (uint64_t)waiting : 0;
    if (!s->left)
        finish(s, s->code);
}

/* All of it was taken, or nobody can write any more. */
void command_output_ended(struct stream *s) {
    if (s->left) {
        close(s->source);
        s->source = -1;
        s->left = 0;
    }
    if (!s->pid && !s->round)
        finish(s, s->code);
}

static void shell_ended(struct stream *s, int code) {
    s->pid = 0;
    s->code = code;
    for (int number = 0; number < SPARES; number++)
        if (s == spares[number]) {
            drop_spare(number);
            return;
        }
    if (!s->round)
        wind_up(s);
}

/* `pid` ended: our child between us and the shell, or the shell itself, which becomes our child when that is killed. */
bool command_child_ended(struct stream *s, pid_t pid, int status) {
    if (s->pid <= 0 || (pid != s->pid && pid != *s->shell))
        return false;
    if (pid == *s->shell || WIFEXITED(status) || !*s->shell)
        shell_ended(s, code_of(status));
    else
        s->pid = *s->shell;
    return true;
}

void command_cancel(struct stream *s) {
    if (!s->round)
        s->deadline = now;
}

uint64_t command_due(const struct stream *s) {
    if (!s->id || (!s->pid && !s->round)) /* a spare has no deadline */
        return UINT64_MAX;
    return s->round ? s->next_round : s->deadline;
}

/* What is out of time ends politely, half a second later not. All are stopped before any is killed: a fork bomb
 * refills what is killed. */
void command_tick(struct stream *s) {
    if (now < command_due(s))
        return;
    s->next_round = now + ROUND_MS;
    if (!s->round) {
        s->timed_out = true;
        s->round = 1;
        tree_signal(s->mark, SIGTERM, false);
        return;
    }
    int alive = tree_signal(s->mark, 0, false);
    if (alive && now < s->deadline + POLITE_MS)
        return;
    if (alive && s->round < ROUNDS) {
        bool stopping = s->round < STOPPING_ROUNDS && tree_signal(s->mark, SIGSTOP, true) > 0;
        if (!stopping)
            tree_signal(s->mark, SIGKILL, false);
        s->round++;
        return;
    }
    if (alive)
        kill(-1, SIGKILL); /* all but init and us */
    if (s->pid && s->round++ < 2 * ROUNDS) {
        kill(s->pid, SIGKILL); /* it was so slow to start that nobody bore its mark yet */
        return;
    }
    s->round = 0;
    wind_up(s);
}
