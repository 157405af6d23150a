/* The supervisor: main process of a sandbox container. It runs commands, moves files and forwards loopback
 * connections for the host, all at once, over one stream (fd 3 in, fd 4 out).
 *
 *   main.c     start-up, the shell's login environment, the poll loop, frames from the host
 *   wire.c     frames to the host: buffered, never blocking
 *   command.c  a command: start, output with head and tail, timeout, exit
 *   tree.c     which processes belong to a command, and their end
 *   file.c     reading and writing files
 *   forward.c  a port on 127.0.0.1 whose connections the host answers
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
#include <sys/types.h>

enum {
    FROM_HOST = 3,
    TO_HOST = 4,
    PROGRAM = 9, /* a command's text, as its shell sees it */
    MAX_PAYLOAD = 65536,
    HEADER = 9,
    WINDOW = 262144,    /* bytes that either side may send on a stream before the other grants more */
    OUT_LIMIT = 524288, /* no source is read while so much waits for the host */
    ROUND = 32768,      /* bytes taken from one source before the others get their turn */
    MAX_STREAMS = 512,
};

enum type {
    HELLO = 1, /* to host: this program runs: protocol version (1 byte) */
    READY,     /* to host: the login environment is made: path of the shell */
    EXEC,      /* to us: flags (1), timeout in ms (8), head (8), tail (8), directory; DATA and END hold the text */
    READ,      /* to us: most bytes (8), path */
    WRITE,     /* to us: path; DATA and END hold the contents */
    LISTEN,    /* to us: port (2), 0 for any; back: the port */
    ACCEPT,    /* to host: a connection on a new stream: the listening stream (4) */
    DATA,
    GAP,    /* to host: so many bytes (8) of a command's output are left out here */
    END,    /* no more DATA in this direction */
    RESET,  /* to us: end the command or connection now; to host: the connection broke */
    CREDIT, /* so many bytes (4) more may be sent */
    RESULT, /* to host, last on its stream: code (4), timed out (1), bytes of output (8), text */
};

enum { EXEC_DEFAULT = 1, EXEC_STDIN = 2 }; /* fall back to / where the directory is gone; keep stdin open */

enum kind { COMMAND, FILE_READ, FILE_WRITE, LISTENER, CONNECTION, LEFTOVER };

/* What a command's parent, a process of its own, tells us through shared memory. */
struct outcome {
    volatile pid_t pid;
    volatile int status, error;
    volatile bool ended;
};

struct stream {
    struct stream *next;
    uint32_t id;
    enum kind kind;
    int source, sink; /* bytes for the host, bytes from it; -1 when there is none (any more) */
    uint64_t credit;  /* bytes that we may send */
    char *pending;    /* the host's bytes that the sink has not taken, `pending_size` from `pending_at` on */
    size_t pending_at, pending_size;
    bool pending_end, closed;
    uint64_t total, most; /* bytes read from the source; where reading a file ends */
    /* a command */
    char *text; /* as an environment variable; NULL once it runs */
    size_t text_size;
    int program; /* the text as a file, where it is long */
    uint8_t flags;
    char *directory;
    pid_t pid; /* of the shell's parent; of the shell once that is gone; 0 at the end */
    struct outcome *outcome;
    bool started, exited, timed_out;
    int code;
    uint64_t timeout_ms, deadline, head, tail;
    uint64_t drain; /* bytes that were in the pipe when the command ended */
    char *ring;     /* the last `tail` bytes of `ring_total` beyond the head */
    uint64_t ring_total;
    int round; /* of the sweep; 0: not under way */
    uint64_t next_round;
};

/* main.c */
extern const char *shell;
extern bool shell_is_bash;
extern const char *working_directory;
extern uint64_t now;
struct stream *stream_new(uint32_t id, enum kind kind);
void stream_close(struct stream *s);
struct stream *streams(void);
_Noreturn void give_up(const char *why);

/* wire.c */
void send_frame(enum type type, uint32_t id, const void *payload, size_t size);
void send_result(uint32_t id, int code, bool timed_out, uint64_t total, const char *text);
bool wire_has_room(void);
size_t wire_waiting(void);
void wire_flush(void);
uint64_t get_u(const uint8_t *at, int bytes);
void put_u(uint8_t *at, uint64_t value, int bytes);

/* command.c */
void command_open(uint32_t id, const uint8_t *payload, size_t size);
void command_data(struct stream *s, const uint8_t *data, size_t size);
void command_end(struct stream *s);
bool command_wants_source(const struct stream *s);
void command_source(struct stream *s);
bool command_child_ended(struct stream *s, pid_t pid, int status);
void command_tick(struct stream *s);
void command_cancel(struct stream *s);
uint64_t command_due(const struct stream *s);

/* tree.c */
void tree_begin(void);
void tree_expect(uint32_t id);
void tree_mark(uint32_t id);
int tree_signal(uint32_t id, int signal, bool running_only);

/* file.c */
void file_read_open(uint32_t id, const uint8_t *payload, size_t size);
void file_write_open(uint32_t id, const uint8_t *payload, size_t size);
void file_source(struct stream *s);
void file_data(struct stream *s, const uint8_t *data, size_t size);
void file_end(struct stream *s);

/* forward.c */
void listener_open(uint32_t id, const uint8_t *payload, size_t size);
void listener_source(struct stream *s);
void connection_source(struct stream *s);

/* sinks of commands and connections */
void sink_data(struct stream *s, const uint8_t *data, size_t size);
void sink_end(struct stream *s);
void sink_write(struct stream *s);

#endif
