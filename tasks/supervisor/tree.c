/* Which processes belong to a command, also those that called setsid, forked twice or cleared their environment.
 *
 * Each command carries its number in a resource limit that nobody uses: the hard value of RLIMIT_RTTIME is
 * UNMARKED − number. Whatever it starts inherits it, and only CAP_SYS_RESOURCE, which no sandbox has, could raise it.
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

static uint64_t unmarked, last_mark;

void tree_begin(void) {
    struct rlimit limit = {0};
    getrlimit(RLIMIT_RTTIME, &limit);
    unmarked = limit.rlim_max < (1ULL << 62) ? limit.rlim_max : 1ULL << 62;
}

void tree_expect(uint32_t id) { last_mark = id > last_mark ? id : last_mark; }

/* In the child, before its shell begins. */
void tree_mark(uint32_t id) {
    struct rlimit limit = {unmarked - id, unmarked - id};
    setrlimit(RLIMIT_RTTIME, &limit);
}

static ssize_t read_proc(pid_t pid, const char *name, char *buffer, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, buffer, size - 1);
    close(fd);
    buffer[got > 0 ? got : 0] = 0;
    return got;
}

/* The hard limit of RLIMIT_RTTIME; UINT64_MAX for "unlimited" and for a process that is gone. */
static uint64_t mark_of(pid_t pid) {
    char text[4096], *line;
    if (read_proc(pid, "limits", text, sizeof text) <= 0 || !(line = strstr(text, "Max realtime timeout")))
        return UINT64_MAX;
    unsigned long long hard;
    return sscanf(line + strlen("Max realtime timeout"), "%*s %llu", &hard) == 1 ? hard : UINT64_MAX;
}

static char state_of(pid_t pid) {
    char text[1024], *end;
    if (read_proc(pid, "stat", text, sizeof text) <= 0 || !(end = strrchr(text, ')')) || end[1] != ' ')
        return 'X';
    return end[2];
}

static bool belongs(pid_t pid, uint32_t id) {
    uint64_t mark = mark_of(pid);
    if (mark >= unmarked)
        return false; /* init, us, or one that the daemon put in */
    return mark == unmarked - id || mark < unmarked - last_mark;
}

/* Sends `signal` (0: none) to all living processes of command `id`; returns how many there are. With `running_only`,
 * those that are stopped already are neither counted nor signalled. */
int tree_signal(uint32_t id, int signal, bool running_only) {
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    int found = 0;
    for (struct dirent *entry; (entry = readdir(proc));) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid <= 1 || pid == getpid() || !belongs(pid, id))
            continue;
        char state = state_of(pid);
        if (state == 'Z' || state == 'X' || (running_only && state == 'T'))
            continue;
        found++;
        if (signal)
            kill(pid, signal);
    }
    closedir(proc);
    return found;
}
