/* TLS without I/O, against OpenSSL's own server side, bytes carried by hand. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "overround/tls_client.h"

enum { LIMIT = 1 << 20, DAY_SECONDS = 86400 };

static EVP_PKEY *key;

struct pair {
    SSL *server;
    BIO *to_server, *from_server;
    struct ovr_tls *client;
    struct ovr_ws_buffer out;
};

/* A self-signed certificate for localhost and 127.0.0.1, good for so many days from now. */
static X509 *make_certificate(long days)
{
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509V3_CTX context;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -2L * DAY_SECONDS);
    X509_gmtime_adj(X509_getm_notAfter(certificate), days * DAY_SECONDS);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name,
                                                "DNS:localhost,IP:127.0.0.1");
    CHECK(names != NULL && X509_add_ext(certificate, names, -1) == 1);
    X509_EXTENSION_free(names);
    CHECK(X509_sign(certificate, key, EVP_sha256()) != 0);
    return certificate;
}

static struct ovr_tls_context *trust(X509 *certificate)
{
    char path[] = "/tmp/ovr-tls-XXXXXX", why[OVR_TLS_WHY_BYTES];
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    FILE *file = fdopen(fd, "w");
    CHECK(file != NULL && PEM_write_X509(file, certificate) == 1 && fclose(file) == 0);
    struct ovr_tls_context *context = ovr_tls_context_create(path, NULL, why);
    CHECK(context != NULL && unlink(path) == 0);
    return context;
}

static void pair_init(struct pair *pair, X509 *certificate, struct ovr_tls_context *context,
                      const char *host, int version_max)
{
    SSL_CTX *server = SSL_CTX_new(TLS_server_method());
    CHECK(SSL_CTX_use_certificate(server, certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey(server, key) == 1);
    if (version_max != 0) {
        SSL_CTX_set_security_level(server, 0);
        CHECK(SSL_CTX_set_min_proto_version(server, version_max) == 1);
        CHECK(SSL_CTX_set_max_proto_version(server, version_max) == 1);
    }
    *pair = (struct pair){.server = SSL_new(server), .to_server = BIO_new(BIO_s_mem()),
                          .from_server = BIO_new(BIO_s_mem()),
                          .client = ovr_tls_create(context, host)};
    SSL_CTX_free(server);
    CHECK(pair->server != NULL && pair->client != NULL);
    SSL_set_bio(pair->server, pair->to_server, pair->from_server);
    SSL_set_accept_state(pair->server);
}

static void pair_deinit(struct pair *pair)
{
    SSL_free(pair->server);
    ovr_tls_destroy(pair->client);
    ovr_ws_buffer_deinit(&pair->out);
}

static void carry_to_server(struct pair *pair)
{
    CHECK(pair->out.used == 0 ||
          BIO_write(pair->to_server, pair->out.bytes, (int)pair->out.used) == (int)pair->out.used);
    pair->out.used = 0;
}

/* In pieces of odd size: records straddle them. */
static void carry_to_client(struct pair *pair)
{
    char bytes[7];
    for (int length; (length = BIO_read(pair->from_server, bytes, sizeof bytes)) > 0;) {
        CHECK(ovr_tls_take(pair->client, bytes, (size_t)length) == 0);
    }
}

/* Returns 1, or the client's error. */
static int shake_hands(struct pair *pair)
{
    for (int round = 0; round < 10; round++) {
        int status = ovr_tls_handshake(pair->client, &pair->out, LIMIT);
        carry_to_server(pair);
        if (status != 0) {
            (void)SSL_do_handshake(pair->server);
            return status;
        }
        (void)SSL_do_handshake(pair->server);
        carry_to_client(pair);
    }
    return -ETIME;
}

static size_t read_at_server(struct pair *pair, char *text, size_t capacity)
{
    size_t length = 0;
    carry_to_server(pair);
    return SSL_read_ex(pair->server, text, capacity, &length) == 1 ? length : 0;
}

static void text_passes_both_ways_and_keys_may_change(void)
{
    X509 *certificate = make_certificate(2);
    struct ovr_tls_context *context = trust(certificate);
    static char text[40000], back[50000];
    struct pair pair;
    pair_init(&pair, certificate, context, "localhost", 0);
    CHECK(shake_hands(&pair) == 1);
    CHECK(strncmp(ovr_tls_cipher(pair.client), "TLSv1.3 ", 8) == 0);
    CHECK(ovr_tls_write(pair.client, "hello", 5, &pair.out, LIMIT) == 0);
    CHECK(read_at_server(&pair, text, sizeof text) == 5 && memcmp(text, "hello", 5) == 0);
    memset(text, 'x', sizeof text);
    CHECK(SSL_write(pair.server, text, sizeof text) == sizeof text);
    CHECK(SSL_key_update(pair.server, SSL_KEY_UPDATE_REQUESTED) == 1);
    CHECK(SSL_write(pair.server, "new key", 7) == 7);
    carry_to_client(&pair);
    size_t got = 0;
    int64_t length;
    while ((length = ovr_tls_read(pair.client, back + got, sizeof back - got, &pair.out, LIMIT)) >
           0) {
        got += (size_t)length;
    }
    CHECK(length == 0 && got == sizeof text + 7);
    CHECK(memcmp(back, text, sizeof text) == 0);
    CHECK(memcmp(back + sizeof text, "new key", 7) == 0);
    /* The answer to the request for a new key goes out with the next text. */
    CHECK(ovr_tls_write(pair.client, "again", 5, &pair.out, LIMIT) == 0);
    CHECK(read_at_server(&pair, text, sizeof text) == 5 && memcmp(text, "again", 5) == 0);
    ovr_tls_close(pair.client, &pair.out, LIMIT);
    CHECK(read_at_server(&pair, text, sizeof text) == 0);
    CHECK((SSL_get_shutdown(pair.server) & SSL_RECEIVED_SHUTDOWN) != 0);
    pair_deinit(&pair);
    ovr_tls_context_destroy(context);
    X509_free(certificate);
}

static void expect_refusal(long days, const char *host, bool trusted, int version,
                           const char *wanted)
{
    X509 *certificate = make_certificate(days);
    X509 *other = make_certificate(3);
    struct ovr_tls_context *context = trust(trusted ? certificate : other);
    struct pair pair;
    pair_init(&pair, certificate, context, host, version);
    CHECK(shake_hands(&pair) == -EPROTO);
    if (strstr(ovr_tls_why(pair.client), wanted) == NULL) {
        fprintf(stderr, "%s\n", ovr_tls_why(pair.client));
        CHECK(!"the reason");
    }
    CHECK(ovr_tls_write(pair.client, "secret", 6, &pair.out, LIMIT) != 0);
    CHECK(pair.out.used == 0 || memmem(pair.out.bytes, pair.out.used, "secret", 6) == NULL);
    pair_deinit(&pair);
    ovr_tls_context_destroy(context);
    X509_free(certificate);
    X509_free(other);
}

static void what_proves_nothing_is_refused(void)
{
    expect_refusal(2, "elsewhere.example", true, 0, "hostname mismatch");
    expect_refusal(2, "127.0.0.2", true, 0, "IP address mismatch");
    expect_refusal(-1, "localhost", true, 0, "expired");
    expect_refusal(2, "localhost", false, 0, "certificate");
    expect_refusal(2, "localhost", true, TLS1_1_VERSION, "TLS handshake");
}

static void an_address_is_verified_as_one(void)
{
    X509 *certificate = make_certificate(2);
    struct ovr_tls_context *context = trust(certificate);
    struct pair pair;
    pair_init(&pair, certificate, context, "127.0.0.1", TLS1_2_VERSION);
    CHECK(shake_hands(&pair) == 1);
    CHECK(SSL_get_servername(pair.server, TLSEXT_NAMETYPE_host_name) == NULL);
    pair_deinit(&pair);
    CHECK(ovr_tls_create(context, "") == NULL);
    ovr_tls_context_destroy(context);
    X509_free(certificate);
}

static void goodbye_and_noise_end_the_session(void)
{
    X509 *certificate = make_certificate(2);
    struct ovr_tls_context *context = trust(certificate);
    char text[64];
    struct pair pair;
    pair_init(&pair, certificate, context, "localhost", 0);
    CHECK(shake_hands(&pair) == 1);
    SSL_shutdown(pair.server);
    carry_to_client(&pair);
    CHECK(ovr_tls_read(pair.client, text, sizeof text, &pair.out, LIMIT) == -EPIPE);
    pair_deinit(&pair);
    pair_init(&pair, certificate, context, "localhost", 0);
    CHECK(shake_hands(&pair) == 1);
    CHECK(ovr_tls_take(pair.client, "\x17\x03\x03\x00\x11nobody sealed this", 22) == 0);
    CHECK(ovr_tls_read(pair.client, text, sizeof text, &pair.out, LIMIT) == -EPROTO);
    CHECK(ovr_tls_why(pair.client)[0] != '\0');
    pair_deinit(&pair);
    pair_init(&pair, certificate, context, "localhost", 0);
    CHECK(ovr_tls_take(pair.client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28) == 0);
    CHECK(ovr_tls_handshake(pair.client, &pair.out, LIMIT) == -EPROTO);
    pair_deinit(&pair);
    ovr_tls_context_destroy(context);
    X509_free(certificate);
}

static void what_is_to_be_sent_is_bounded(void)
{
    X509 *certificate = make_certificate(2);
    struct ovr_tls_context *context = trust(certificate);
    static char text[30000];
    struct pair pair;
    pair_init(&pair, certificate, context, "localhost", 0);
    CHECK(shake_hands(&pair) == 1);
    CHECK(ovr_tls_write(pair.client, text, sizeof text, &pair.out, 1000) == -ENOBUFS);
    pair_deinit(&pair);
    ovr_tls_context_destroy(context);
    X509_free(certificate);
}

static void authorities_that_cannot_be_read_are_named(void)
{
    char why[OVR_TLS_WHY_BYTES];
    CHECK(ovr_tls_context_create("/nowhere/ca.pem", NULL, why) == NULL);
    CHECK(strstr(why, "authorities") != NULL);
    struct ovr_tls_context *context = ovr_tls_context_create(NULL, NULL, why);
    CHECK(context != NULL && strncmp(ovr_tls_library(), "OpenSSL 3", 9) == 0);
    ovr_tls_context_destroy(context);
}

int main(void)
{
    key = EVP_EC_gen("P-256");
    CHECK(key != NULL);
    RUN(text_passes_both_ways_and_keys_may_change);
    RUN(what_proves_nothing_is_refused);
    RUN(an_address_is_verified_as_one);
    RUN(goodbye_and_noise_end_the_session);
    RUN(what_is_to_be_sent_is_bounded);
    RUN(authorities_that_cannot_be_read_are_named);
    EVP_PKEY_free(key);
    return 0;
}
