/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c - runs the suites of all test files beside it.
 *
 * unit_suites.h is made by Makefile.apxs from the files' names: a test file that exists
 * is run.  CK_RUN_SUITE=name runs one of them.
 */
#include <check.h>
#include <stdlib.h>

#define SUITE(name) Suite *name##_suite(void);
#include "unit_suites.h"
#undef SUITE

int main(void)
{
    SRunner *runner = srunner_create(NULL);
    int failed;

#define SUITE(name) srunner_add_suite(runner, name##_suite());
#include "unit_suites.h"
#undef SUITE
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
