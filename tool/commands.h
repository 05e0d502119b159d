/* SPDX-License-Identifier: MIT */
/* commands.h - the subcommands of vmakit and their exit statuses (documented in vmakit.1). */
#ifndef VMAKIT_TOOL_COMMANDS_H
#define VMAKIT_TOOL_COMMANDS_H

#include <stdbool.h>

enum exit_status {
    EXIT_GOOD = 0,
    EXIT_DIFFERENT = 1,        /* a divergence or a difference was found (replay, fuzz) */
    EXIT_USAGE = 2,            /* the command line */
    EXIT_CANNOT_READ = 3,      /* a file or process cannot be read, or its contents make no sense */
    EXIT_NO_RESOURCE = 4,      /* out of memory, cannot write, ... */
    EXIT_TRACE_DIVERGED = 120, /* trace: the engine and the kernel disagreed */
    EXIT_TRACE_FAILED = 121,   /* trace: cannot trace this (no ptrace right, a tracer of its own, ...) */
    EXIT_NOT_EXECUTABLE = 126, /* trace: the program cannot be executed */
    EXIT_NOT_FOUND = 127 /* trace: there is no such program; otherwise the tracee's own status is passed through */
};

/* argv[0] is "vmakit NAME". Each returns an exit status. */
int cmd_trace(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_fuzz(int argc, char **argv);

/* --break RULE: false when there is nothing to run with (`help', an unknown rule, an ordinary build); then *status. */
bool command_break(const char *command, const char *rule, int *status);

#endif
