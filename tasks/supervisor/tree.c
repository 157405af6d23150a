/* Which processes belong to a command, also those that called setsid, forked twice or cleared their environment.
 *
 * Each command carries its mark in a resource limit that nobody uses: the hard value of RLIMIT_RTTIME is
 * UNMARKED − mark. Whatever it starts inherits it, and only CAP_SYS_RESOURCE, which no sandbox has, could raise it.
 * Lowering it is possible, and means: I belong to no command. Such processes go with the first sweep.
 */
#include "supervisor.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TIMES_3(what) what what what
#define TIMES_7(what) what what what what what what what

static uint64_t unmarked;
static uint32_t last_mark;

void tree_begin(void) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_RTTIME, &limit);
    unmarked = limit.rlim_max < (1ULL << 62) ? limit.rlim_max : 1ULL << 62;
}

uint32_t tree_new_mark(void) { return ++last_mark; }

/* In the child, before its shell begins. */
void tree_mark(uint32_t mark) {
    struct rlimit limit = {unmarked - mark, unmarked - mark};
    setrlimit(RLIMIT_RTTIME, &limit);
}

/* What follows `label` in a file of a process; "" where either is gone. */
static const char *fact(pid_t pid, const char *name, const char *label) {
    static char text[4096];
    snprintf(text, sizeof text, "/proc/%d/%s", (int)pid, name);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = 0;
    const char *found = strstr(text, label);
    return found ? found + strlen(label) : "";
}

static bool belongs(pid_t pid, uint32_t mark) {
    unsigned long long hard;
    if (sscanf(fact(pid, "limits", "Max realtime timeout"), "%*s %llu", &hard) != 1 || hard >= unmarked)
        return false; /* gone, or init, us, or one that the daemon put in */
    return hard == unmarked - mark || hard < unmarked - last_mark;
}

static char state(pid_t pid) { return *fact(pid, "status", "\nState:\t"); }

/* It runs on: it is not ending (PF_EXITING), and no signal waits that ends it. */
bool tree_is_sound(pid_t pid) {
    char is;
    unsigned long flags, pending;
    int found = sscanf(fact(pid, "stat", ") "), "%c %*s %*s %*s %*s %*s %lu" TIMES_7(TIMES_3(" %*s")) " %lu", &is, &flags, &pending);
    return found == 3 && !strchr("ZX", is) && !(flags & 4) && !pending;
}

/* Sends `signal` (0: none) to all living processes of a command; returns how many there are. With `running_only`,
 * those that are stopped already are neither counted nor signalled. */
int tree_signal(uint32_t mark, int signal, bool running_only) {
    DIR *proc = opendir("/proc");
    int found = 0;
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid <= 1 || pid == getpid() || !belongs(pid, mark))
            continue;
        char is = state(pid);
        if (!is || strchr("ZX", is) || (running_only && is == 'T'))
            continue;
        found++;
        if (signal)
            kill(pid, signal);
    }
    if (proc)
        closedir(proc);
    return found;
}
