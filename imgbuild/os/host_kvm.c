/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does KVM really work here? In nested machines and containers /dev/kvm may exist and not open,
 * open and make no machine, or make machines that interpret every instruction (seen with
 * software-only hypervisors: a Linux guest then takes hours to boot). So a machine is made and its
 * speed taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "os/host.h"

#if defined(__x86_64__)
enum {
    GUEST_MEMORY = 16 * 4096, /* code at 0x1000, page tables from 0x2000 */
    GUEST_LOOPS = 100000,
    /* A processor runs the loops in some 0.05 ms and emulation in 0.5 ms; interpreting took 90 ms
     */
    GUEST_LIMIT_US = 15000,
};

/* Everything that goes when the trial is over. */
struct trial {
    int vcpu;
    uint8_t *memory;
    struct kvm_run *run;
    size_t run_size;
};

static void trial_clear(struct trial *t)
{
    if (t->run)
        munmap(t->run, t->run_size);
    if (t->memory)
        munmap(t->memory, GUEST_MEMORY);
    ib_closep(&t->vcpu);
}

/* mov $GUEST_LOOPS, %ecx; 1: dec %ecx; jnz 1b; mov %cr3, %rax; mov %rax, %cr3; hlt */
static void write_guest(uint8_t *memory)
{
    static const uint8_t code[] = {0xb9,
                                   GUEST_LOOPS & 0xff,
                                   (GUEST_LOOPS >> 8) & 0xff,
                                   GUEST_LOOPS >> 16,
                                   0,
                                   0xff,
                                   0xc9,
                                   0x75,
                                   0xfc,
                                   0x0f,
                                   0x20,
                                   0xd8,
                                   0x0f,
                                   0x22,
                                   0xd8,
                                   0xf4};
    enum { PRESENT_WRITABLE = 3, LARGE = 0x80 };

    memcpy(memory + 0x1000, code, sizeof(code));
    *(uint64_t *)(void *)(memory + 0x2000) = 0x3000 | PRESENT_WRITABLE; /* PML4 */
    *(uint64_t *)(void *)(memory + 0x3000) = 0x4000 | PRESENT_WRITABLE; /* PDPT */
    *(uint64_t *)(void *)(memory + 0x4000) = PRESENT_WRITABLE | LARGE;  /* the first 2 MiB */
}

/* 64-bit mode, as a kernel runs in (Intel SDM volume 3, 10.8.5); 0 or -1 with errno. */
static int set_registers(int vcpu)
{
    struct kvm_sregs s;
    struct kvm_segment code = {
        .limit = ~0U, .selector = 8, .present = 1, .type = 11, .s = 1, .l = 1, .g = 1};
    struct kvm_segment data = {
        .limit = ~0U, .selector = 16, .present = 1, .type = 3, .s = 1, .db = 1, .g = 1};

    if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
        return -1;
    s.cr3 = 0x2000;
    s.cr4 = 1 << 5;            /* PAE */
    s.cr0 = 0x80050033;        /* PG AM WP NE ET MP PE */
    s.efer = 1 << 8 | 1 << 10; /* LME LMA */
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0)
        return -1;
    return ioctl(vcpu, KVM_SET_REGS, &(struct kvm_regs){.rip = 0x1000, .rflags = 2});
}

static int set_up(struct trial *t, int kvm, int vm)
{
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

    t->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (t->vcpu < 0 || size < (int)sizeof(*t->run))
        return -1;
    t->memory =
        mmap(NULL, GUEST_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->memory == MAP_FAILED) {
        t->memory = NULL;
        return -1;
    }
    write_guest(t->memory);
    t->run_size = (size_t)size;
    t->run = mmap(NULL, t->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->vcpu, 0);
    if (t->run == MAP_FAILED) {
        t->run = NULL;
        return -1;
    }
    struct kvm_userspace_memory_region region = {.memory_size = GUEST_MEMORY,
                                                 .userspace_addr = (uintptr_t)t->memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return -1;
    return set_registers(t->vcpu);
}

static int64_t thread_time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID,
                  &now); /* guest time counts; waiting for a CPU does not */
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static int try_guest(int kvm, int vm, struct ib_error **err)
{
    _cleanup_(trial_clear) struct trial t = {.vcpu = -1};

    if (set_up(&t, kvm, vm) < 0)
        return ib_failf(err, IB_E_UNSUPPORTED, "/dev/kvm is there, but sets up no machine: %s",
                        strerror(errno));
    int64_t start = thread_time_us();
    int r;
    do
        r = ioctl(t.vcpu, KVM_RUN, 0);
    while (r < 0 && errno == EINTR && thread_time_us() - start < GUEST_LIMIT_US);
    int64_t elapsed_us = thread_time_us() - start;
    if (elapsed_us >= GUEST_LIMIT_US)
        return ib_failf(err, IB_E_UNSUPPORTED,
                        "/dev/kvm is there, but its machines are slower than emulated ones "
                        "(%d loops took %lld ms)",
                        GUEST_LOOPS, (long long)elapsed_us / 1000);
    if (r < 0 || t.run->exit_reason != KVM_EXIT_HLT)
        return ib_failf(err, IB_E_UNSUPPORTED, "/dev/kvm is there, but its machines fail");
    return 0;
}
#else
static int try_guest(int kvm, int vm, struct ib_error **err)
{
    (void)kvm, (void)vm, (void)err;
    return 0;
}
#endif

static int open_failed(struct ib_error **err)
{
    if (errno == EACCES || errno == EPERM) {
        ib_failf(err, IB_E_UNSUPPORTED, "/dev/kvm may not be opened by this user");
        return ib_hint(err, "add yourself to its group: 'sudo usermod -aG kvm \"$USER\"', and log "
                            "in again");
    }
    if (errno == ENOENT) {
        ib_failf(err, IB_E_UNSUPPORTED, "there is no /dev/kvm");
        return ib_hint(err, "switch virtualization on in the firmware, or nested virtualization in "
                            "the hypervisor if this is a virtual machine");
    }
    return ib_failf(err, IB_E_UNSUPPORTED, "/dev/kvm cannot be opened: %s", strerror(errno));
}

int ib_host_probe_kvm(struct ib_error **err)
{
    _cleanup_(ib_closep) int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0)
        return open_failed(err);
    if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return ib_failf(err, IB_E_UNSUPPORTED, "/dev/kvm speaks another version of the interface");
    _cleanup_(ib_closep) int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        return ib_failf(err, IB_E_UNSUPPORTED, "/dev/kvm is there, but makes no machine: %s",
                        strerror(errno));
    return try_guest(kvm, vm, err);
}
