/* The supervisor: main process of a sandbox container. It runs commands, moves files and forwards loopback
 * connections for the host, all at once, over one stream (fd 3 in, fd 4 out).
 *
 *   main.c     start-up through a login shell, the poll loop, frames from the host
 *   stream.c   bytes in both directions, as credit allows; frames to the host
 *   command.c  a command: its shell, begun before it is needed; its end, and a timeout's
 *   tree.c     which processes belong to a command
 *   open.c     files, and ports on 127.0.0.1
 *
 * A frame is type (1 byte), stream id (4), length (4), payload (at most MAX_PAYLOAD); integers are little-endian.
 * tasks/docker/channel.py speaks the other end. Nothing in here is trusted: no verdict rests on what it says.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
    FROM_HOST = 3,
    TO_HOST = 4,
    PROGRAM = 9, /* where a shell reads its command; no other descriptor of ours is below it */
    MAX_PAYLOAD = 65536,
    HEADER = 9,
    WINDOW = 262144,    /* bytes that either side may send on a stream before the other grants more */
    OUT_LIMIT = 524288, /* no source is read while so much waits for the host */
    ROUND = 32768,      /* bytes taken from one source before the others get their turn */
    MAX_STREAMS = 512,
};

enum type {
    HELLO = 1, /* to host: this program runs: protocol version (1 byte) */
    READY,     /* to host: the login environment is made: name of the shell */
    EXEC,      /* to us: flags (1), timeout in ms (8), head (8), tail (8), length of the text (4), directory; then its text as DATA */
    READ,      /* to us: most bytes (8), path */
    WRITE,     /* to us: path; DATA and END hold the contents */
    LISTEN,    /* to us: port (2), 0 for any; back: the port */
    ACCEPT,    /* to host: a connection on a new stream: the listening stream (4) */
    DATA,
    GAP,    /* to host: so many bytes (8) of a command's output are left out here */
    END,    /* no more DATA in this direction */
    RESET,  /* to us: end the command or connection now; to host: the connection broke */
    CREDIT, /* so many bytes (4) more may be sent */
    RESULT, /* to host, last on its stream: exit code or errno (4), timed out (1), bytes of output or file (8) */
};

enum { EXEC_DEFAULT = 1, EXEC_STDIN = 2 }; /* fall back to / where the directory is gone; keep stdin open */

enum kind { COMMAND, FILE_READ, FILE_WRITE, LISTENER, CONNECTION, LEFTOVER };

struct stream {
    struct stream *next;
    uint32_t id; /* 0: the host does not know it: a spare shell, or what a command left running */
    enum kind kind;
    bool closed;
    int source, sink;     /* bytes for the host, bytes from it; -1 when there is none (any more) */
    uint64_t credit;      /* bytes that we may send */
    uint64_t total, left; /* bytes taken from the source; how many more will be */
    char *pending;        /* the host's bytes that the sink has not taken */
    size_t pending_size;
    bool pending_end;
    /* a command */
    uint32_t text_left; /* bytes of its text that its shell has not been given; what follows is for `input` */
    int input;
    char *directory;
    struct stat place; /* the directory as it was when the shell began */
    pid_t pid;         /* of the shell's parent; of the shell once that is gone; 0 at the end */
    volatile pid_t *shell; /* the shell's own, as it tells us through shared memory */
    uint32_t mark;
    bool patient, timed_out; /* patient: nobody talks to it, its output may wait a little */
    int code;
    uint64_t deadline, head, tail;
    char *ring; /* room for twice the tail: the last `ring_size` bytes of what came after the head */
    size_t ring_size;
    int round; /* of the sweep; 0: not under way */
    uint64_t next_round;
};

/* main.c */
extern const char *shell, *working_directory;
extern uint64_t now;
extern struct stream *streams;
struct stream *stream_new(uint32_t id, enum kind kind);
void stream_close(struct stream *s);
void *allocated(void *memory);
_Noreturn void give_up(const char *why);

/* stream.c */
uint64_t get_u(const uint8_t *at, int bytes);
void send_frame(enum type type, uint32_t id, const void *payload, size_t size);
void send_number(enum type type, uint32_t id, uint64_t number, int bytes);
void send_result(uint32_t id, int code, bool timed_out, uint64_t total);
uint64_t out_next(void);
void out_flush(void);
bool source_wanted(const struct stream *s);
void source_read(struct stream *s);
void sink_data(struct stream *s, const uint8_t *data, size_t size);
void sink_end(struct stream *s);
void sink_write(struct stream *s);
void send_tail(struct stream *s);

/* command.c */
void command_open(uint32_t id, const uint8_t *payload, size_t size);
void command_spare(void);
void command_output_ended(struct stream *s);
bool command_child_ended(struct stream *s, pid_t pid, int status);
void command_tick(struct stream *s);
void command_cancel(struct stream *s);
uint64_t command_due(const struct stream *s);

/* tree.c */
void tree_begin(void);
uint32_t tree_new_mark(void);
void tree_mark(uint32_t mark);
int tree_signal(uint32_t mark, int signal, bool running_only);
bool tree_is_sound(pid_t pid);

/* open.c */
void file_open(uint32_t id, enum kind kind, uint64_t most, const uint8_t *path, size_t size);
void listener_open(uint32_t id, uint16_t port);
void listener_accept(struct stream *s);

#endif
