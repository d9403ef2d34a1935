/* A WebSocket server that never sleeps, on a CPU of its own: the other end of every socket row.
 *
 *   echo_server [CORPUS] [CERTIFICATE KEY]   prints its port, and with a certificate its TLS port
 *
 * The path that a client asks for says what it gets:
 *   /echo    one text frame of 512 bytes for every frame it sends
 *   /blast   for every frame it sends, the whole corpus, each frame a text message
 *   /ticks/N for a frame it sends: the corpus, a frame every N us; behind every second one (the
 *            first of them behind SKIP) the server waits for an order, a POST on any connection. At
 *            the end it sends p50 and p99 in ns from the time at which the frame was due to the
 *            order's last byte: a frame that a late order held up is late itself (no coordinated
 *            omission). served_p50 and served_p99 begin at the frame's own send; late counts the
 *            frames that were sent more than LATE_NS behind their time
 *   /burst1  for every frame that any client of this digit sends, one frame of the corpus on
 *            all of them */
#include "corpus.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/socket.h>

enum { PEERS_MAX = 128, BUFFER = 65536, ECHO_BYTES = 512, SKIP = 2, TICKS_MAX = 8192,
       LATE_NS = 1000, TICKS_WARM = 50 };

struct peer {
    int fd;
    SSL *tls;
    bool open;
    char mode; /* e, b, t, or the digit of a burst's group */
    size_t held;
    uint8_t buffer[BUFFER];
};

static struct {
    struct peer peers[PEERS_MAX];
    int count;
    struct corpus corpus;
    uint8_t *blast, echo[4 + ECHO_BYTES];
    size_t blast_bytes;
    uint32_t turn, orders;
    uint64_t period_ns; /* of the ticks */
    int listening;
    SSL_CTX *context;
} my;

static size_t frame_text(uint8_t *out, const void *text, size_t length)
{
    size_t head = length < 126 ? 2 : 4;
    out[0] = 0x81;
    out[1] = (uint8_t)(length < 126 ? length : 126);
    if (head == 4) {
        NEED(length < 65536 || length == 0);
        out[2] = (uint8_t)(length >> 8);
        out[3] = (uint8_t)length;
    }
    memcpy(out + head, text, length);
    return head + length;
}

static ssize_t take(struct peer *peer, void *bytes, size_t size)
{
    if (peer->tls == NULL) {
        return recv(peer->fd, bytes, size, MSG_DONTWAIT);
    }
    int got = SSL_read(peer->tls, bytes, (int)size);
    if (got > 0) {
        return got;
    }
    int why = SSL_get_error(peer->tls, got);
    ERR_clear_error();
    errno = EAGAIN;
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static void give(struct peer *peer, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = peer->tls == NULL
                           ? send(peer->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : SSL_write(peer->tls, bytes, (int)size);
        if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        } else if (peer->tls == NULL && errno != EAGAIN) {
            return;
        }
    }
}

static void drop(struct peer *peer)
{
    if (peer->tls != NULL) {
        SSL_free(peer->tls);
    }
    close(peer->fd);
    *peer = (struct peer){.fd = -1};
}

static void answer_head(struct peer *peer)
{
    char *key = strcasestr((char *)peer->buffer, "Sec-WebSocket-Key: ");
    char text[128], out[512];
    uint8_t digest[SHA_DIGEST_LENGTH], accept[64];
    NEED(key != NULL);
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    SHA1((uint8_t *)text, strlen(text), digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    int size = snprintf(out, sizeof out,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    peer->mode = memcmp(peer->buffer, "GET /echo", 9) == 0   ? 'e'
                 : memcmp(peer->buffer, "GET /blast", 10) == 0 ? 'b'
                 : memcmp(peer->buffer, "GET /ticks", 10) == 0 ? 't'
                                                               : (char)peer->buffer[10];
    if (peer->mode == 't') {
        my.period_ns = 1000 * strtoull((char *)peer->buffer + 11, NULL, 10);
        NEED(my.period_ns > 0);
    }
    peer->open = true;
    give(peer, (uint8_t *)out, (size_t)size);
}

static void burst(char group)
{
    uint8_t frame[BUFFER];
    uint32_t n = my.turn++ % my.corpus.count;
    size_t size = frame_text(frame, my.corpus.frames[n], my.corpus.lengths[n]);
    for (int i = 0; i < my.count; i++) {
        if (my.peers[i].fd >= 0 && my.peers[i].open && my.peers[i].mode == group) {
            give(&my.peers[i], frame, size);
        }
    }
}

static void serve(struct peer *peer);
static void greet(int listening, SSL_CTX *context);

/* Wait until an order came that was not there before; returns when, 0 if none came in time. */
static uint64_t wait_order(const struct peer *ticks, uint32_t before)
{
    uint64_t limit = bench_ns() + UINT64_C(2000000000);
    for (uint32_t turn = 1; my.orders == before; turn++) {
        if (bench_ns() > limit) {
            return 0;
        }
        if (turn % 64 == 0) {
            greet(my.listening, NULL); /* a client that connects for its first order */
        }
        for (int i = 0; i < my.count; i++) {
            if (my.peers[i].fd >= 0 && &my.peers[i] != ticks) {
                serve(&my.peers[i]);
            }
        }
    }
    return bench_ns();
}

static uint64_t quantile(uint64_t *samples, size_t count, size_t per_cent)
{
    qsort(samples, count, sizeof *samples, bench_compare);
    return count == 0 ? 0 : samples[count * per_cent / 100];
}

static void tell_ticks(struct peer *peer)
{
    static uint64_t due_samples[TICKS_MAX], served[TICKS_MAX];
    static uint8_t frame[BUFFER];
    char text[160];
    size_t count = 0;
    uint32_t warm = TICKS_WARM, late = 0;
    uint64_t due = bench_ns();
    for (uint32_t n = 0; n < my.corpus.count && count < TICKS_MAX; n++) {
        size_t size = frame_text(frame, my.corpus.frames[n], my.corpus.lengths[n]);
        uint32_t before = my.orders;
        due += my.period_ns;
        while (bench_ns() < due) {
        }
        uint64_t begun = bench_ns();
        give(peer, frame, size);
        if (n < SKIP || (n - SKIP) % 2 == 0) {
            late += count > 0 && begun > due + LATE_NS;
            continue;
        }
        uint64_t ended = wait_order(peer, before);
        if (ended == 0) {
            count = 0;
            break;
        }
        if (warm > 0) {
            warm--;
            due = bench_ns(); /* what connecting and the first orders cost holds nobody up */
            continue;
        }
        late += begun > due + LATE_NS;
        due_samples[count] = ended - due;
        served[count++] = ended - begun;
    }
    int length = snprintf(text, sizeof text,
                          "{\"p50\":%llu,\"p99\":%llu,\"served_p50\":%llu,\"served_p99\":%llu,"
                          "\"late\":%u}",
                          (unsigned long long)quantile(due_samples, count, 50),
                          (unsigned long long)quantile(due_samples, count, 99),
                          (unsigned long long)quantile(served, count, 50),
                          (unsigned long long)quantile(served, count, 99), late);
    give(peer, frame, frame_text(frame, text, (size_t)length));
}

/* An order: counted when its last byte is there, answered at once. */
static size_t take_order(struct peer *peer, const char *end)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 2\r\n\r\n{}";
    const char *length = strcasestr((char *)peer->buffer, "Content-Length:");
    NEED(length != NULL);
    size_t size = (size_t)(end + 4 - (char *)peer->buffer) + strtoul(length + 15, NULL, 10);
    if (peer->held < size) {
        return 0;
    }
    my.orders++;
    give(peer, (const uint8_t *)answer, sizeof answer - 1);
    return size;
}

static void on_frame(struct peer *peer)
{
    if (peer->mode == 'e') {
        give(peer, my.echo, sizeof my.echo);
    } else if (peer->mode == 'b') {
        give(peer, my.blast, my.blast_bytes);
    } else if (peer->mode == 't') {
        tell_ticks(peer);
    } else {
        burst(peer->mode);
    }
}

/* Work on what is held; returns bytes used. Client frames are masked: 2 or 4, then 4, then data. */
static size_t digest(struct peer *peer)
{
    if (!peer->open) {
        peer->buffer[peer->held] = 0;
        char *end = strstr((char *)peer->buffer, "\r\n\r\n");
        if (end == NULL) {
            return 0;
        }
        if (peer->buffer[0] == 'P') {
            return take_order(peer, end);
        }
        answer_head(peer);
        return (size_t)(end + 4 - (char *)peer->buffer);
    }
    if (peer->held < 4) {
        return 0;
    }
    size_t length = peer->buffer[1] & 0x7f, head = 6;
    if (length == 126) {
        length = (size_t)peer->buffer[2] << 8 | peer->buffer[3];
        head = 8;
    }
    if (peer->held < head + length) {
        return 0;
    }
    if ((peer->buffer[0] & 0x0f) == 8) {
        drop(peer);
        return 0;
    }
    on_frame(peer);
    return head + length;
}

static void serve(struct peer *peer)
{
    ssize_t got = take(peer, peer->buffer + peer->held, BUFFER - 1 - peer->held);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        drop(peer);
        return;
    }
    if (got < 0) {
        return;
    }
    peer->held += (size_t)got;
    for (size_t used; peer->held > 0 && (used = digest(peer)) > 0;) {
        peer->held -= used;
        memmove(peer->buffer, peer->buffer + used, peer->held);
    }
}

static int listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    NEED(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 128) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    printf("%d ", ntohs(address.sin_port));
    return fd;
}

static void greet(int listening, SSL_CTX *context)
{
    int one = 1, fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    NEED(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    int at = 0;
    while (at < my.count && my.peers[at].fd >= 0) {
        at++;
    }
    NEED(at < PEERS_MAX);
    my.count = at == my.count ? at + 1 : my.count;
    my.peers[at] = (struct peer){.fd = fd};
    if (context != NULL) {
        my.peers[at].tls = SSL_new(context);
        NEED(SSL_set_fd(my.peers[at].tls, fd) == 1);
        SSL_set_accept_state(my.peers[at].tls);
    }
}

static void load(int argc, char **argv)
{
    char text[ECHO_BYTES];
    memset(text, 'x', sizeof text);
    frame_text(my.echo, text, sizeof text);
    my.corpus = argc > 1 ? corpus_load(argv[1]) : (struct corpus){0};
    my.blast = malloc(my.corpus.bytes + 4ul * my.corpus.count + 1);
    for (uint32_t i = 0; i < my.corpus.count && my.corpus.lengths[i] < 65536; i++) {
        my.blast_bytes += frame_text(my.blast + my.blast_bytes, my.corpus.frames[i],
                                     my.corpus.lengths[i]);
    }
}

int main(int argc, char **argv)
{
    NEED(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    load(argc, argv);
    int plain = my.listening = listener(), secure = -1;
    if (argc > 3) {
        my.context = SSL_CTX_new(TLS_server_method());
        NEED(SSL_CTX_use_certificate_chain_file(my.context, argv[2]) == 1);
        NEED(SSL_CTX_use_PrivateKey_file(my.context, argv[3], SSL_FILETYPE_PEM) == 1);
        SSL_CTX_set_num_tickets(my.context, 0);
        secure = listener();
    }
    printf("\n");
    fflush(stdout);
    bench_place(1);
    for (uint32_t turn = 0;; turn++) {
        for (int i = 0; i < my.count; i++) {
            if (my.peers[i].fd >= 0) {
                serve(&my.peers[i]);
            }
        }
        if (turn % 64 == 0) {
            greet(plain, NULL);
            if (secure >= 0) {
                greet(secure, my.context);
            }
        }
    }
}
