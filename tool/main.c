/* SPDX-License-Identifier: MIT */
/* main.c - the vmakit command: finds the subcommand and hands over. */
#include "commands.h"

#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"trace", cmd_trace}, {"run", cmd_run}, {"replay", cmd_replay}, {"show", cmd_show}, {"fuzz", cmd_fuzz},
};

static const char doc[] =
    "The Linux virtual-memory-area layer as a library, and this tool, which runs real programs on it."
    "\vCommands:\n"
    "  trace -- CMD...  run a program, mirror its memory calls, compare\n"
    "  run -- CMD...    run a program with the engine as its memory manager\n"
    "  replay FILE      run a recorded trace, or strace's output\n"
    "  show PID|FILE    draw a process's or a saved map, sum it up\n"
    "  fuzz             compare with the kernel on random calls\n"
    "\n"
    "`vmakit COMMAND --help' describes each; vmakit(1) has it all.\n"
    "\n"
    "Exit status: 0 good, 1 a difference was found, 2 usage, 3 cannot read, 4 out of memory or cannot "
    "write, 120 trace found a divergence, 121 cannot trace this; otherwise trace and run pass the status of "
    "the program through.";

static void print_version(FILE *stream, struct argp_state *state)
{
    (void)state;
    fprintf(stream, "vmakit %s\n", VMAKIT_VERSION);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Where the command stands in argv, which ends the options of vmakit itself. */
static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    switch (key) {
    case ARGP_KEY_ARG:
        *(int *)state->input = state->next - 1;
        if (find_command(argument) == NULL)
            argp_error(state, "there is no command '%s'", argument);
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which command?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {.parser = parse_option, .args_doc = "COMMAND [ARGUMENT...]", .doc = doc};

int main(int argc, char **argv)
{
    int at = 0;
    char name[64];

    argp_err_exit_status = EXIT_USAGE;
    argp_program_version_hook = print_version;
    if (argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &at) != 0 || at == 0)
        return EXIT_USAGE;
    const struct command *command = find_command(argv[at]);
    snprintf(name, sizeof(name), "vmakit %s", command->name);
    argv[at] = name;
    int status = command->run(argc - at, argv + at);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_GOOD) {
        fprintf(stderr, "%s: cannot write the output: %s\n", name, strerror(errno));
        status = EXIT_NO_RESOURCE;
    }
    return status;
}
