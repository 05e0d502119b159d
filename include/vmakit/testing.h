/* SPDX-License-Identifier: MIT */
/*
 * testing.h - breaking a rule on purpose, to show that a test would notice. Only libraries built with VMAKIT_TEST_BUILD=1
 * have these functions.
 */
#ifndef VMAKIT_TESTING_H
#define VMAKIT_TESTING_H

#include "vmakit/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Breaks one rule from now on, in every address space of the process; NULL mends. -VMK_ENOENT: no such rule. */
VMK_API int vmk_test_break(const char *rule);
/* Name and meaning of rule i; NULL past the last. */
VMK_API const char *vmk_test_break_at(size_t i, const char **meaning);

#ifdef __cplusplus
}
#endif

#endif
