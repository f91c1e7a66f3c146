/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.h - greenctl journal.
 */
#ifndef GREENCTL_JOURNAL_H
#define GREENCTL_JOURNAL_H

/* `argv`[0] is "journal".  The exit status. */
int journal_main(int argc, char **argv);

#endif /* GREENCTL_JOURNAL_H */
