"""What ``doctor`` looks at: each check reads one fact of the machine and says what it means.

Read-only and unprivileged; a file that is absent is an answer, never a failure.
"""
