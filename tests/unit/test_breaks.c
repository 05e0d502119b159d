/* SPDX-License-Identifier: MIT */
/* Breaking a rule on purpose, in libraries built for tests; and the locks in a process that was forked. */
#include "calls.h"

#include <sys/wait.h>
#include <unistd.h>

#include "vmakit/testing.h"

#if defined(VMAKIT_TEST_BUILD) && VMAKIT_TEST_BUILD
static void test_breaks(void **state)
{
    const char *meaning, *rule;
    size_t nr = 0;
    struct vt t;

    (void)state;
    assert_ret(vmk_test_break("no_such_rule"), -VMK_ENOENT);
    for (; (rule = vmk_test_break_at(nr, &meaning)) != NULL; nr++) {
        assert_true(meaning[0] != '\0');
        assert_ret(vmk_test_break(rule), 0);
    }
    assert_true(nr > 10);
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    assert_ret(vmk_test_break("place_hint"), 0);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_RW, VT_ANON, NULL, 0), 0x7ffff7ffe000);
    assert_ret(vmk_test_break(NULL), 0);
    assert_ret(vt_mmap_file(&t, BASE + P(4), P(1), VT_RW, VT_ANON, NULL, 0), BASE + P(4));
    vt_teardown(&t);
}
#endif

/* The child goes on with the address space as it was. */
static void test_forked(void **state)
{
    const struct vmk_mmap_request request = {.address = BASE + P(1), .len = P(1), .prot = VT_RW, .flags = VT_FIXED};
    struct vmk_vma_info info = {.size = sizeof(info)};
    struct vt t;
    int status;

    (void)state;
    vt_setup(&t);
    vt_anon(&t, BASE, P(1), VT_RW);
    vmk_system_fork_prepare(t.system);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        vmk_system_fork_child(t.system);
        bool good = vmk_mmap(t.mm, &request, NULL) == 0 && vmk_mm_lookup(t.mm, BASE, &info) == 0 &&
                    info.end == BASE + P(2) && vmk_mm_validate(t.mm, NULL, NULL) == 0;
        _exit(good ? 0 : 1); /* nothing of the parent ends here */
    }
    vmk_system_fork_parent(t.system);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_map(&t, "10000000-10001000 rw-p ac\n");
    vt_teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(VMAKIT_TEST_BUILD) && VMAKIT_TEST_BUILD
        cmocka_unit_test(test_breaks),
#endif
        cmocka_unit_test(test_forked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
