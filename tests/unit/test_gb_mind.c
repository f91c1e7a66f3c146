/* SPDX-License-Identifier: Apache-2.0
 *
 * test_gb_mind.c - one policy follows another; and the process that sees to it is
 * killed at every single instruction.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/gb_mind.h"

Suite *gb_mind_suite(void);

#define NEWS (1 + (uint32_t)GB_POLICY_NEWS)

/* In memory that a child shares. */
typedef struct shared_t {
    gb_mind_t mind;
    gb_decider_t twin;
} shared_t;

static shared_t *shared;
static gb_news_t known; /* what is not to be lost */
static shared_t later;  /* what another keeper makes of a copy */

static void setup(void)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(shared != MAP_FAILED);
    memset(&known, 0, sizeof(known));
    for (size_t i = 0; i < sizeof(known); i++) {
        ((uint8_t *)&known)[i] = (uint8_t)(1 + i % 251); /* no byte is 0 */
    }
}

static void teardown(void)
{
    munmap(shared, sizeof(*shared));
}

static bool is_known(const gb_news_t *news)
{
    return news && memcmp(news, &known, sizeof(known)) == 0;
}

static void in_force(void)
{
    shared->mind.decider.policy = NEWS;
    shared->mind.decider.as.news = known;
}

static void set_aside(void)
{
    shared->mind.decider.policy = 1 + GB_POLICY_LCP;
    memset(&shared->mind.decider.as, 0x5a, sizeof(shared->mind.decider.as));
    shared->mind.news = known;
    shared->mind.has_news = 1;
}

static void with_the_twin(void)
{
    shared->mind.decider.policy = 1 + GB_POLICY_KPA;
    memset(&shared->mind.decider.as, 0x5a, sizeof(shared->mind.decider.as));
    shared->twin.policy = NEWS;
    shared->twin.as.news = known;
}

static void turn(shared_t *at, gb_policy_e policy)
{
    gb_mind_turn(&at->mind, policy, &at->twin);
}

static const gb_news_t *learned(const shared_t *at)
{
    return gb_mind_learned(&at->mind, &at->twin);
}

START_TEST(what_news_learned_is_there_again)
{
    in_force();
    turn(shared, GB_POLICY_NEWS);
    ck_assert(is_known(&shared->mind.decider.as.news));
    turn(shared, GB_POLICY_LCP);
    ck_assert_uint_ne(shared->mind.decider.policy, NEWS);
    ck_assert(is_known(learned(shared)));
    turn(shared, GB_POLICY_KPA);
    ck_assert(is_known(learned(shared)));
    turn(shared, GB_POLICY_NEWS);
    ck_assert_uint_eq(shared->mind.decider.policy, NEWS);
    ck_assert(is_known(&shared->mind.decider.as.news));
}
END_TEST

START_TEST(other_policies_begin_anew)
{
    set_aside();
    turn(shared, GB_POLICY_LCP);
    ck_assert_uint_eq(((uint8_t *)&shared->mind.decider.as)[7], 0x5a); /* its own */
    turn(shared, GB_POLICY_AUTOSCALE);
    for (size_t i = 0; i < sizeof(shared->mind.decider); i++) {
        ck_assert_uint_eq(((uint8_t *)&shared->mind.decider)[i], 0);
    }
}
END_TEST

START_TEST(a_twin_teaches_a_beginner)
{
    ck_assert_ptr_null(learned(shared));
    turn(shared, GB_POLICY_NEWS);
    ck_assert_ptr_null(learned(shared));
    with_the_twin();
    turn(shared, GB_POLICY_NEWS);
    ck_assert(is_known(&shared->mind.decider.as.news));
    ck_assert_ptr_null(gb_mind_learned(&(gb_mind_t){0}, NULL));
}
END_TEST

/* Whoever comes after one that was killed here, whatever it is told to be. */
static bool nothing_is_lost(void)
{
    static const gb_policy_e wanted[] = {GB_POLICY_NEWS, GB_POLICY_LCP,
                                         GB_POLICY_THRESHOLD};

    if (!is_known(learned(shared))) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        later = *shared;
        turn(&later, wanted[i]);
        if (!is_known(learned(&later))) {
            return false;
        }
    }
    return true;
}

static void child(gb_policy_e policy)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
        _exit(errno == EPERM ? 77 : 78);
    }
    raise(SIGSTOP);
    turn(shared, policy);
    raise(SIGSTOP);
    _exit(0);
}

/* Looks at what is there before each instruction of the child, as if it were killed. */
static void kill_everywhere(gb_policy_e policy)
{
    pid_t pid = fork();
    long steps = 0;
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        child(policy);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("not tested: this system lets no process be traced\n");
        return;
    }
    ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    do {
        ck_assert_msg(nothing_is_lost(), "killed after %ld steps", steps);
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSTOPPED(status));
        steps++;
    } while (WSTOPSIG(status) == SIGTRAP);
    ck_assert_int_eq(WSTOPSIG(status), SIGSTOP);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_gt(steps, 100);
    ck_assert(nothing_is_lost());
}

START_TEST(killed_while_news_leaves_nothing_is_lost)
{
    in_force();
    kill_everywhere(GB_POLICY_LCP);
    ck_assert_uint_ne(shared->mind.decider.policy, NEWS);
}
END_TEST

START_TEST(killed_while_news_comes_back_nothing_is_lost)
{
    set_aside();
    kill_everywhere(GB_POLICY_NEWS);
    ck_assert_uint_eq(shared->mind.decider.policy, NEWS);
}
END_TEST

START_TEST(killed_while_a_twin_teaches_nothing_is_lost)
{
    with_the_twin();
    kill_everywhere(GB_POLICY_NEWS);
    ck_assert_uint_eq(shared->mind.decider.policy, NEWS);
}
END_TEST

Suite *gb_mind_suite(void)
{
    Suite *suite = suite_create("gb_mind");
    TCase *tcase = tcase_create("mind");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_news_learned_is_there_again);
    tcase_add_test(tcase, other_policies_begin_anew);
    tcase_add_test(tcase, a_twin_teaches_a_beginner);
    tcase_add_test(tcase, killed_while_news_leaves_nothing_is_lost);
    tcase_add_test(tcase, killed_while_news_comes_back_nothing_is_lost);
    tcase_add_test(tcase, killed_while_a_twin_teaches_nothing_is_lost);
    suite_add_tcase(suite, tcase);
    return suite;
}
