/* SPDX-License-Identifier: Apache-2.0
 *
 * probe_target.c - how a member is to be asked, worked out once from its URL.
 *
 * Plain HTTP goes over a socket of our own: with a thousand members it costs the keeper
 * half of what libcurl's whole machinery would.  libcurl does what is better not
 * written twice: TLS, HTTP/2, and the resolving of names.
 */
#include "probe_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

/* Is it safe in a URL or a header line as it stands? */
static bool plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c <= ' ' || *c == 0x7f) {
            return false;
        }
    }
    return *text != '\0';
}

static const char *bracketed(apr_pool_t *p, const char *host)
{
    return strchr(host, ':') && *host != '[' ? apr_pstrcat(p, "[", host, "]", NULL)
                                             : host;
}

static void target_scheme(mgb_target_t *target, const char *scheme)
{
    target->talk = MGB_TALK_CONNECT;
    target->http_version = CURL_HTTP_VERSION_1_1;
    if (!strcmp(scheme, "http")) {
        target->talk = MGB_TALK_HTTP;
    }
    else if (!strcmp(scheme, "ajp")) {
        target->talk = MGB_TALK_AJP;
    }
    else if (!strcmp(scheme, "https")) {
        target->talk = MGB_TALK_CURL;
        target->tls = true;
    }
    else if (!strcmp(scheme, "h2")) {
        target->talk = MGB_TALK_CURL;
        target->tls = true;
        target->http_version = CURL_HTTP_VERSION_2TLS;
    }
    else if (!strcmp(scheme, "h2c")) {
        target->talk = MGB_TALK_CURL;
        target->http_version = CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    }
}

static const char *target_fault(const proxy_worker *worker,
                                const mgb_probe_conf_t *conf)
{
    if (!worker) {
        return "the member is gone";
    }
    if (!*worker->s->uds_path && !plain(worker->s->hostname_ex)) {
        return "the member's URL has no usable host name";
    }
    if (!*worker->s->uds_path && !worker->s->port) {
        return "the member's URL needs a port: its scheme has no usual one";
    }
    if (*conf->uri != '/' || !plain(conf->uri)) {
        return "GreenHealth uri= has to begin with / and to be free of spaces and "
               "control characters";
    }
    if (conf->host && !plain(conf->host)) {
        return "GreenHealth host= has to be free of spaces and control characters";
    }
    return NULL;
}

/* The address when it needs no resolving: a unix socket or a number. */
static void target_socket(mgb_target_t *target, const char *host, apr_port_t port)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&target->socket;
    struct sockaddr_in *in = (struct sockaddr_in *)&target->socket;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&target->socket;

    if (target->uds) {
        if (strlen(target->uds) >= sizeof(un->sun_path)) {
            target->fault = "the path of its unix socket is too long";
            return;
        }
        un->sun_family = AF_UNIX;
        apr_cpystrn(un->sun_path, target->uds, sizeof(un->sun_path));
        target->socket_bytes = sizeof(*un);
    }
    else if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        target->socket_bytes = sizeof(*in);
    }
    else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        target->socket_bytes = sizeof(*in6);
    }
    else {
        target->named = true;
    }
}

/* With TLS, host=NAME[:PORT] is also the name that the server is asked for and that its
 * certificate has to bear: so the URL names it, and the connection is led to the
 * member.
 */
static void target_url(mgb_target_t *target, const char *host, apr_port_t port,
                       const mgb_probe_conf_t *conf, apr_pool_t *p)
{
    const char *path = target->talk == MGB_TALK_CURL ? conf->uri : "/";

    host = bracketed(p, host);
    if (conf->host && target->talk == MGB_TALK_CURL) {
        target->header_line.data = apr_pstrcat(p, "Host: ", conf->host, NULL);
        target->headers = &target->header_line;
        if (target->tls) {
            const char *name = conf->host, *colon = strrchr(name, ':');

            target->connect_line.data = apr_psprintf(p, "::%s:%u", host, port);
            target->connect_to = &target->connect_line;
            if (colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")]) {
                name = apr_pstrmemdup(p, name, (apr_size_t)(colon - name));
            }
            host = bracketed(p, name);
        }
    }
    target->url = apr_psprintf(p, "%s://%s:%u%s", target->tls ? "https" : "http", host,
                               port, path);
}

static void target_request(mgb_target_t *target, const char *host, apr_port_t port,
                           const mgb_probe_conf_t *conf, apr_pool_t *p)
{
    const char *name = conf->host;

    if (target->talk == MGB_TALK_AJP) {
        target->request = (const char *)gb_cping_packet();
        target->request_bytes = GB_CPING_BYTES;
    }
    if (target->talk != MGB_TALK_HTTP) {
        return;
    }
    if (!name) {
        name = bracketed(p, host);
        if (port != 80) {
            name = apr_psprintf(p, "%s:%u", name, port);
        }
    }
    target->request = apr_psprintf(p,
                                   "GET %s HTTP/1.1\r\n"
                                   "Host: %s\r\n"
                                   "User-Agent: " MGB_MULTI_AGENT "\r\n"
                                   "Accept: */*\r\n"
                                   "Connection: close\r\n\r\n",
                                   conf->uri, name);
    target->request_bytes = strlen(target->request);
}

mgb_target_t *mgb_target_make(const proxy_worker *worker, const mgb_probe_conf_t *conf,
                              apr_pool_t *p)
{
    mgb_target_t *target = apr_pcalloc(p, sizeof(*target));
    const char *host;
    apr_port_t port;

    target->fault = target_fault(worker, conf);
    if (target->fault) {
        return target;
    }
    host = apr_pstrdup(p, worker->s->hostname_ex);
    port = worker->s->port;
    if (*worker->s->uds_path) {
        target->uds = apr_pstrdup(p, worker->s->uds_path);
        host = plain(host) ? host : "localhost";
        port = port ? port : 80;
    }
    target_scheme(target, worker->s->scheme);
    target->verify = conf->verify;
    target->expect_from = conf->expect_from;
    target->expect_to = conf->expect_to;
    target->name_ttl_s = -1;
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 130)
    if (worker->s->address_ttl_set && worker->s->address_ttl > 0) {
        target->name_ttl_s = worker->s->address_ttl;
    }
#endif
    target_socket(target, host, port);
    target_request(target, host, port, conf, p);
    target_url(target, host, port, conf, p);
    return target;
}
