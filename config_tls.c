/* SPDX-License-Identifier: Apache-2.0
 *
 * config_tls.c - what mod_ssl's SSLProxy directives say of https members, for the
 * writes that the keeper sends to them by libcurl, and not by mod_proxy.
 *
 * mod_ssl keeps its settings to itself, so they are read from the configuration's tree:
 * in the section that has GreenCommit, then in what surrounds it, up to the main
 * server. What libcurl cannot do in the same way is refused.  Parent, from check_config
 * on.
 */
#include "config_private.h"

static const ap_directive_t *first_of(const ap_directive_t *parent)
{
    return parent ? parent->first_child : ap_conftree;
}

/* The last directive of that name on a level, those in <IfModule> and its kind too. */
static const ap_directive_t *on_level(const ap_directive_t *first, const char *name)
{
    const ap_directive_t *found = NULL, *inside;

    for (const ap_directive_t *d = first; d; d = d->next) {
        if (strcasecmp(d->directive, name) == 0) {
            found = d;
        }
        else if (strncasecmp(d->directive, "<If", 3) == 0) {
            inside = on_level(d->first_child, name);
            found = inside ? inside : found;
        }
    }
    return found;
}

/* What is in force where `where` stands; NULL: it is not said. */
static const ap_directive_t *in_force(const ap_directive_t *where, const char *name)
{
    while (where) {
        const ap_directive_t *found = on_level(first_of(where->parent), name);

        if (found) {
            return found;
        }
        where = where->parent;
    }
    return NULL;
}

static const char *word_of(apr_pool_t *p, const ap_directive_t *where, const char *name)
{
    const ap_directive_t *found = in_force(where, name);
    const char *args = found ? found->args : "";

    return found ? ap_getword_conf(p, &args) : NULL;
}

static bool says(apr_pool_t *p, const ap_directive_t *where, const char *name,
                 const char *what)
{
    const char *word = word_of(p, where, name);

    return word && strcasecmp(word, what) == 0;
}

static const char *path_of(apr_pool_t *p, const ap_directive_t *where, const char *name)
{
    const char *word = word_of(p, where, name);

    return word ? ap_server_root_relative(p, word) : NULL;
}

void mgb_config_resolve_tls(apr_pool_t *p, mgb_tls_t *tls, const ap_directive_t *where)
{
    tls->verify = says(p, where, "SSLProxyVerify", "require");
    tls->check_name = !says(p, where, "SSLProxyCheckPeerName", "off");
    tls->ca_file = path_of(p, where, "SSLProxyCACertificateFile");
    tls->ca_path = path_of(p, where, "SSLProxyCACertificatePath");
}

/* ------------------------------------------------------------------ checks */

static bool is_https(const proxy_balancer *balancer)
{
    for (int i = 0; i < balancer->workers->nelts; i++) {
        const proxy_worker *worker =
            APR_ARRAY_IDX(balancer->workers, i, proxy_worker *);

        if (strcasecmp(worker->s->scheme, "https") == 0) {
            return true;
        }
    }
    return false;
}

/* Directives that writes would not go by; `unless`: this value changes nothing. */
static void check_unknown(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                          const ap_directive_t *where)
{
    static const struct {
        const char *name, *unless;
    } unknown[] = {{"SSLProxyMachineCertificateFile", NULL},
                   {"SSLProxyMachineCertificatePath", NULL},
                   {"SSLProxyCARevocationCheck", "none"}};

    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        const ap_directive_t *at = in_force(where, unknown[i].name);

        if (at && !(unknown[i].unless &&
                    says(found->p, where, unknown[i].name, unknown[i].unless))) {
            mgb_config_report(
                found, at,
                GBLOGNO(0170) "%s: GreenCommit sends writes to https members by its "
                              "own connections, which know nothing of %s: leave it "
                              "out for this balancer, or give its members http URLs",
                pool->name, unknown[i].name);
        }
    }
}

void mgb_config_check_tls(mgb_findings_t *found, const mgb_raw_pool_t *pool,
                          const proxy_balancer *balancer)
{
    const ap_directive_t *where = pool->set_at[MGB_SET_COMMIT], *at;
    mgb_tls_t tls;

    if (!is_https(balancer)) {
        return;
    }
    mgb_config_resolve_tls(found->p, &tls, where);
    check_unknown(found, pool, where);
    if (!says(found->p, where, "SSLProxyEngine", "on")) {
        mgb_config_report(found, where,
                          GBLOGNO(0171) "%s: its members are reached by https: add "
                                        "SSLProxyEngine on, in this section or above "
                                        "it, without which they can be read by nobody",
                          pool->name);
    }
    at = in_force(where, "SSLProxyVerify");
    if (at && !tls.verify && !says(found->p, where, "SSLProxyVerify", "none")) {
        mgb_config_report(found, at,
                          GBLOGNO(0172) "%s: GreenCommit knows SSLProxyVerify none and "
                                        "require: choose one of them",
                          pool->name);
    }
    if (tls.verify && !tls.ca_file && !tls.ca_path) {
        mgb_config_report(found, at,
                          GBLOGNO(0173) "%s: SSLProxyVerify require needs the "
                                        "authority's certificate: add "
                                        "SSLProxyCACertificateFile FILE, which "
                                        "GreenKeeperUser may read",
                          pool->name);
    }
}
