#include "overround/tls_client.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { READ_AHEAD_BYTES = 32768 };

struct ovr_tls_context {
    SSL_CTX *ssl;
};

struct ovr_tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    char why[OVR_TLS_WHY_BYTES];
    char cipher[96];
};

/* --- context ------------------------------------------------------------------------------- */

static void say_openssl(char *why, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;
    snprintf(why, OVR_TLS_WHY_BYTES, "%s: %s", what, reason != NULL ? reason : "unknown");
    ERR_clear_error();
}

static int load_authorities(SSL_CTX *ssl, const char *ca_file, const char *ca_folder)
{
    if (ca_file == NULL && ca_folder == NULL) {
        return SSL_CTX_set_default_verify_paths(ssl);
    }
    return SSL_CTX_load_verify_locations(ssl, ca_file, ca_folder);
}

struct ovr_tls_context *ovr_tls_context_create(const char *ca_file, const char *ca_folder,
                                               char *why)
{
    static const unsigned char http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    struct ovr_tls_context *context = calloc(1, sizeof *context);
    ERR_clear_error();
    if (context == NULL || (context->ssl = SSL_CTX_new(TLS_client_method())) == NULL) {
        say_openssl(why, "no TLS context");
        free(context);
        return NULL;
    }
    SSL_CTX *ssl = context->ssl;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ssl, 1); /* a whole chunk into the record layer, not header by header */
    SSL_CTX_set_default_read_buffer_len(ssl, READ_AHEAD_BYTES);
    if (SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_alpn_protos(ssl, http11, sizeof http11) != 0 ||
        load_authorities(ssl, ca_file, ca_folder) != 1) {
        say_openssl(why, "cannot load the certificate authorities");
        ovr_tls_context_destroy(context);
        return NULL;
    }
    return context;
}

void ovr_tls_context_destroy(struct ovr_tls_context *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->ssl);
        free(context);
    }
}

const char *ovr_tls_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

/* --- session ------------------------------------------------------------------------------- */

/* The name is verified in any case; it is sent only if it is a name. */
static int expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1) {
        return 1;
    }
    ERR_clear_error();
    return host[0] != '\0' && SSL_set1_host(ssl, host) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct ovr_tls *ovr_tls_create(struct ovr_tls_context *context, const char *host)
{
    struct ovr_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL || (tls->ssl = SSL_new(context->ssl)) == NULL) {
        free(tls);
        return NULL;
    }
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->in == NULL || tls->out == NULL || !expect_host(tls->ssl, host)) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_mem_eof_return(tls->in, -1); /* an empty input means "later", not "never" */
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    return tls;
}

void ovr_tls_destroy(struct ovr_tls *tls)
{
    if (tls != NULL) {
        SSL_free(tls->ssl);
        free(tls);
    }
}

/* --- bytes --------------------------------------------------------------------------------- */

static int drain(struct ovr_tls *tls, struct ovr_ws_buffer *out, size_t limit)
{
    char *bytes;
    long length = BIO_get_mem_data(tls->out, &bytes);
    if (length <= 0) {
        return 0;
    }
    int status = ovr_ws_buffer_add(out, bytes, (size_t)length, limit);
    (void)BIO_reset(tls->out);
    return status;
}

/* The session failed: keep the reason, and let the alert go out if it can. */
static int fail(struct ovr_tls *tls, const char *what, struct ovr_ws_buffer *out, size_t limit)
{
    long verified = SSL_get_verify_result(tls->ssl);
    if (verified != X509_V_OK) {
        snprintf(tls->why, sizeof tls->why, "%s: certificate: %s", what,
                 X509_verify_cert_error_string(verified));
        ERR_clear_error();
    } else {
        say_openssl(tls->why, what);
    }
    (void)drain(tls, out, limit);
    return -EPROTO;
}

int ovr_tls_handshake(struct ovr_tls *tls, struct ovr_ws_buffer *out, size_t limit)
{
    ERR_clear_error();
    int done = SSL_do_handshake(tls->ssl);
    if (done == 1) {
        snprintf(tls->cipher, sizeof tls->cipher, "%s %s", SSL_get_version(tls->ssl),
                 SSL_get_cipher_name(tls->ssl));
        int status = drain(tls, out, limit);
        return status != 0 ? status : 1;
    }
    if (SSL_get_error(tls->ssl, done) != SSL_ERROR_WANT_READ) {
        return fail(tls, "TLS handshake", out, limit);
    }
    return drain(tls, out, limit);
}

int ovr_tls_take(struct ovr_tls *tls, const void *bytes, size_t length)
{
    if (length > INT_MAX) {
        return -EINVAL;
    }
    return BIO_write(tls->in, bytes, (int)length) == (int)length ? 0 : -ENOMEM;
}

int64_t ovr_tls_read(struct ovr_tls *tls, void *plain, size_t capacity, struct ovr_ws_buffer *out,
                     size_t limit)
{
    size_t length = 0;
    ERR_clear_error();
    int done = SSL_read_ex(tls->ssl, plain, capacity, &length);
    int error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, done);
    if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) {
        if (error == SSL_ERROR_ZERO_RETURN) {
            snprintf(tls->why, sizeof tls->why, "TLS: closed by the peer");
            return -EPIPE;
        }
        return fail(tls, "TLS", out, limit);
    }
    /* Reading may have to answer: a key update does. */
    int status = BIO_ctrl_pending(tls->out) != 0 ? drain(tls, out, limit) : 0;
    return status != 0 ? status : (int64_t)length;
}

int ovr_tls_write(struct ovr_tls *tls, const void *plain, size_t length,
                  struct ovr_ws_buffer *out, size_t limit)
{
    size_t written = 0;
    ERR_clear_error();
    if (length != 0 && SSL_write_ex(tls->ssl, plain, length, &written) != 1) {
        return fail(tls, "TLS", out, limit);
    }
    return drain(tls, out, limit);
}

void ovr_tls_close(struct ovr_tls *tls, struct ovr_ws_buffer *out, size_t limit)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->ssl)) {
        (void)SSL_shutdown(tls->ssl);
    }
    (void)drain(tls, out, limit);
    ERR_clear_error();
}

const char *ovr_tls_why(const struct ovr_tls *tls)
{
    return tls->why;
}

const char *ovr_tls_cipher(const struct ovr_tls *tls)
{
    return tls->cipher;
}
