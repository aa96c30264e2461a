/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the eBPF programs and their loader share: a task's state, and what is counted rather than told. */
#ifndef IPC_BPF_STATE_H
#define IPC_BPF_STATE_H

#include <linux/types.h>

#include "histogram.h"

#define UNSEEN (1ULL << 63)

enum {
	TOTALS_MAX = 32768,
	TOTALS_DROPPED_MAX = 8192, /* where only what is dropped is counted */
	SYSCALLS_MAX = 512,	   /* numbers at and above are none of ours */
};

/* Until it begins or ends its first call that is seen. */
enum fresh {
	FORKED = 1, /* a fork child that has not returned to its program yet */
	FOUND,	    /* it ran when recording began */
};

/* What the kernel says of a signal; number 0: nothing. */
struct signal_told {
	__s32 number, code;
	__s32 pid; /* who sent it; 0: the kernel */
	__u32 tag; /* as of an event */
};

/* In task storage: exists for tracked tasks and, in a tree (select.h), for all of it, and no others. */
struct task_state {
	__u32 thread, image;   /* numbers of definitions; 0: not tracked (yet) */
	__u64 start;	       /* of the call it is inside, or with UNSEEN when it was found there */
	__u64 ip;	       /* where a parked call returns to */
	__u64 object, object2; /* 0: that descriptor is no channel */
	__u64 arg0, arg0_2, arg1;
	__u32 child;	/* pid that the call made */
	__u64 stack;	/* of the last one that woke it */
	__u32 woken_by; /* out of the call: an image, or IPC_WOKEN_* */
	__u32 ipcns;	/* inode of the namespace of the System V queue that the call is on */
	__u16 call;	/* it is inside, or IPC_CALL_none */
	__u16 nr;
	__u8 asked;   /* for more than 0 bytes */
	__u8 parked;  /* a signal stopped the call: it will go on, fail with EINTR, or die */
	__u8 fresh;   /* enum fresh */
	__u8 alien;   /* a call of another architecture was met and told */
	__u8 unbound; /* the call is on a UDP socket without a port: it gets one with its first send */
	__u8 untold;  /* UNTOLD_*: definitions that found no room; `via` is the image's */
	__u8 via;
	__u8 several_threads; /* were in the process when the call began */
	__u8 chosen;	      /* will be found */
	__u32 left;	      /* the image before, of a process that is not selected any more, or not yet ours
				 (follow.h) */
	/* of a call that sends a signal */
	__u8 several; /* 1: to several processes; 2: and the first of these was told */
	__u8 sent;    /* IPC_SIGNAL_IGNORED, IPC_SIGNAL_MERGED, or 0 */
	__u32 sent_tag;
	/* of locks on files */
	__u64 file;	    /* address of what the call locks */
	__u64 unlock_start; /* the kernel began to release a lock */
	__u32 older;	    /* thread before the exec; `nr` is IPC_NO_NR until its program makes a call */
	/* the process's, in its group leader's state */
	__u8 exiting; /* exit_group was told, with `status` */
	__u32 gone;
	__s32 status;
	__u64 shared_start, shared_end; /* all memory it ever shared lies between; end 0: none */
	struct signal_told fatal;	/* what it dies of, if of that number, */
	__u32 fatal_thread;		/* and the thread that it was sent to, or 0 */
	__u32 epoch;			/* changes with its shared memory */
};

/* Which thread is to be tracked from its next exec on (follow.h). */
struct followed {
	__u32 pid_ns, tid; /* in: the inode of its pid namespace, and its number there */
	__u32 image;	   /* in: of the other source; 0: it shall not be tracked */
	__u32 found;	   /* out */
};

enum { UNTOLD_IMAGE = 1, UNTOLD_THREAD = 2 };

/* What is known of an object's bytes (payload.h), in sets that an object's number selects. The programs write
 * all but `known` and `denied`, the loader those. An entry may be another object's meanwhile: then too much
 * of that is told, or it is judged by other messages than its first. */
enum { JUDGED_SETS = 4096, JUDGED_WAYS = 4 };

struct judged {
	__u64 object;	/* 0: none */
	__u8 tries[2];	/* messages that have been told to be judged: received, sent */
	__u8 likely;	/* one of them may be a protocol's */
	__u8 used;	/* since a place was last looked for */
	__u8 known;	/* it speaks a protocol */
	__u8 denied[2]; /* its messages received, sent, are no protocol's */
	__u8 round;	/* another one for each object and stream that the place has been for */
};

/* Where its set begins. */
static inline __u32 judged_set(__u64 object)
{
	return (object * 0x9e3779b97f4a7c15ULL >> 52) * JUDGED_WAYS;
}

static inline struct judged *judged_find(struct judged *judged, __u64 object)
{
	struct judged *set = &judged[judged_set(object)];

	for (int i = 0; i < JUDGED_WAYS; i++)
		if (set[i].object == object)
			return &set[i];
	return 0;
}

/* `judge` of a payload, never 0: how many of its direction were told, this one included; the direction; for
 * which of those that the place has been for. */
static inline __u64 judge_note(const struct judged *j, _Bool sends)
{
	return (__u64)j->tries[sends] << 16 | j->round << 8 | sends;
}

/* Of one reason and mechanism, on one processor. */
struct lost {
	__u64 count, first_ns, last_ns;
};

/*
 * Calls that are not told one by one: all of those that --aggregate counts, or the ones whose events found no
 * room. Totals of one round are added to while those of the other are read and deleted.
 */
struct total_key {
	__u64 object;
	__u64 other; /* of a datagram socket: the address at the other side, else 0 */
	__u32 image;
	__u16 call;
	__u8 verb; /* enum ipc_verb, resolved */
	__u8 round;
};

/* Threads of one process, on one object, are all that add to the same one. */
struct total {
	__u64 bytes, ns;	      /* moved; durations of all calls */
	__u64 idle, idle_ns;	      /* calls that moved nothing, and their durations */
	__u64 errors;		      /* of those */
	__u64 max_ns, not_min_ns;     /* the latter is ~ of the shortest duration: zeroed there is none yet */
	__u64 last_ns, not_first_ns;  /* end of the last call; ~ of the begin of the first */
	__u32 histogram[IPC_BUCKETS]; /* of all durations: their sum is the number of calls */
};

#endif
