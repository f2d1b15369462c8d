"""Directives without a counterpart, and the reason of each.

The names are those of ``systemd --dump-configuration-items`` of version 252, and of the manual of version 257.
"""

from __future__ import annotations

__all__ = ["INSTALL", "SERVICE", "SOCKET", "TIMER", "UNIT", "reason"]

_ISOLATION = "aioverseer does not isolate a program: keep systemd or a container around it for that"
_FOLDER = 'nothing makes the folder: prepare = ["mkdir", "-p", ...] does'
_CGROUP = "a setting of the cgroup: memory_max, pids_max and cpu_max are there"
_JOURNAL = "nothing is sent to the journal: aioverseer up shows the lines, and log = keeps them"
_CREDENTIALS = "there are no credentials: the program reads its secrets from a file or a variable"
_CONDITION = "no condition is checked before a start: prepare = takes a command whose failure fails the start"
_JOB = "there are no jobs: ready_timeout limits a start"
_REACTION = "[[hooks]] starts a command for an event, and critical = true ends all with the service"
_SCHEDULER = "no option for it: write chrt or numactl before the command"
_TERMINAL = "the terminal of a service is made with pty = true"
_MANAGER = "a setting for the manager of the machine"
_NOT_HERE = "no option for it"


def _all(why: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


_CONDITIONS = (
    "PathExists PathExistsGlob PathIsDirectory PathIsSymbolicLink PathIsMountPoint PathIsReadWrite PathIsEncrypted "
    "DirectoryNotEmpty FileNotEmpty FileIsExecutable NeedsUpdate FirstBoot Architecture Firmware Virtualization Host "
    "KernelCommandLine KernelVersion Version Credential Security Capability ACPower Memory CPUFeature CPUs Environment "
    "User Group ControlGroupController OSRelease MemoryPressure CPUPressure IOPressure KernelModuleLoaded"
).split()

UNIT: dict[str, str] = {
    **{f"{word}{name}": _CONDITION for word in ("Condition", "Assert") for name in _CONDITIONS},
    **_all(
        _JOB,
        "JobTimeoutSec JobRunningTimeoutSec JobTimeoutAction JobTimeoutRebootArgument OnSuccessJobMode "
        "OnFailureJobMode OnFailureIsolate",
    ),
    **_all(
        _REACTION,
        "OnSuccess StartLimitAction FailureAction SuccessAction FailureActionExitStatus "
        "SuccessActionExitStatus RebootArgument",
    ),
    **_all(
        "reload = is an option of each service",
        "PropagatesReloadTo PropagateReloadTo ReloadPropagatedFrom PropagateReloadFrom",
    ),
    **_all(
        _MANAGER,
        "StopWhenUnneeded RefuseManualStart RefuseManualStop AllowIsolate DefaultDependencies IgnoreOnIsolate "
        "CollectMode SurviveFinalKillSignal SourcePath JoinsNamespaceOf RequiresMountsFor WantsMountsFor",
    ),
    "Conflicts": "services of a file do not exclude each other: take one out, or give each a profile",
    "PropagatesStopTo": 'after = { name = { on_end = "stop" } } of the other service does it',
    "Upholds": 'restart.when = "always" of the other service keeps it up',
}
"""Keys of the section Unit."""

SERVICE: dict[str, str] = {
    **_all(
        _ISOLATION,
        "RootDirectory RootImage RootImageOptions RootImagePolicy RootHash RootHashSignature RootVerity RootEphemeral "
        "ExtensionDirectories ExtensionImages ExtensionImagePolicy MountImages MountImagePolicy RemoveIPC SecureBits "
        "CapabilityBoundingSet KeyringMode ProtectProc ProcSubset SystemCallFilter SystemCallArchitectures "
        "SystemCallErrorNumber SystemCallLog MemoryDenyWriteExecute RestrictNamespaces RestrictRealtime "
        "RestrictSUIDSGID RestrictAddressFamilies LockPersonality RestrictFileSystems ReadWriteDirectories "
        "ReadOnlyDirectories InaccessibleDirectories ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths "
        "NoExecPaths BindPaths BindReadOnlyPaths TemporaryFileSystem PrivateTmp PrivateDevices ProtectKernelTunables "
        "ProtectKernelModules ProtectKernelLogs ProtectClock ProtectControlGroups NetworkNamespacePath "
        "IPCNamespacePath PrivateNetwork PrivateUsers PrivateMounts PrivateIPC PrivatePIDs ProtectSystem ProtectHome "
        "MountFlags MountAPIVFS BindLogSockets Personality SELinuxContext AppArmorProfile SmackProcessLabel "
        "ProtectHostname RestrictNetworkInterfaces SocketBindAllow SocketBindDeny IPAddressAllow IPAddressDeny "
        "DeviceAllow DevicePolicy RootDirectoryStartOnly MemoryKSM UtmpIdentifier UtmpMode PAMName SetLoginEnvironment",
    ),
    **_all(
        _FOLDER,
        "RuntimeDirectory RuntimeDirectoryMode RuntimeDirectoryPreserve StateDirectory StateDirectoryMode "
        "CacheDirectory CacheDirectoryMode LogsDirectory LogsDirectoryMode ConfigurationDirectory "
        "ConfigurationDirectoryMode TimeoutCleanSec StateDirectoryAccounting StateDirectoryQuota",
    ),
    **_all(
        _CGROUP,
        "Slice AllowedCPUs StartupAllowedCPUs AllowedMemoryNodes StartupAllowedMemoryNodes CPUAccounting CPUWeight "
        "StartupCPUWeight CPUShares StartupCPUShares CPUQuotaPeriodSec MemoryAccounting MemoryMin DefaultMemoryMin "
        "DefaultMemoryLow DefaultStartupMemoryLow MemoryLow StartupMemoryLow MemoryHigh StartupMemoryHigh "
        "StartupMemoryMax MemorySwapMax StartupMemorySwapMax MemoryZSwapMax StartupMemoryZSwapMax "
        "MemoryZSwapWriteback IOAccounting IOWeight StartupIOWeight IODeviceWeight IOReadBandwidthMax "
        "IOWriteBandwidthMax IOReadIOPSMax IOWriteIOPSMax IODeviceLatencyTargetSec BlockIOAccounting BlockIOWeight "
        "StartupBlockIOWeight BlockIODeviceWeight BlockIOReadBandwidth BlockIOWriteBandwidth TasksAccounting Delegate "
        "DelegateSubgroup DisableControllers IPAccounting IPIngressFilterPath IPEgressFilterPath NFTSet "
        "ManagedOOMSwap ManagedOOMMemoryPressure ManagedOOMMemoryPressureLimit ManagedOOMMemoryPressureDurationSec "
        "ManagedOOMPreference BPFProgram OOMPolicy MemoryPressureWatch MemoryPressureThresholdSec CoredumpReceive",
    ),
    **_all(
        _JOURNAL,
        "SyslogIdentifier SyslogFacility SyslogLevel SyslogLevelPrefix LogLevelMax LogRateLimitIntervalSec "
        "LogRateLimitBurst LogExtraFields LogNamespace LogFilterPatterns",
    ),
    **_all(
        _CREDENTIALS,
        "SetCredential SetCredentialEncrypted LoadCredential LoadCredentialEncrypted ImportCredential",
    ),
    **_all(
        _SCHEDULER,
        "CPUSchedulingPolicy CPUSchedulingPriority CPUSchedulingResetOnFork NUMAPolicy NUMAMask TimerSlackNSec "
        "CoredumpFilter",
    ),
    **_all(_TERMINAL, "TTYPath TTYReset TTYVHangup TTYVTDisallocate TTYRows TTYColumns"),
    **_all(_REACTION, "FailureAction StartLimitAction RebootArgument"),
    **_all(
        _NOT_HERE,
        "ExitType GuessMainPID PermissionsStartOnly NonBlocking FileDescriptorStoreMax FileDescriptorStorePreserve "
        "OpenFile USBFunctionDescriptors USBFunctionStrings IgnoreSIGPIPE ExecSearchPath UnsetEnvironment RestartMode "
        "TimeoutStartFailureMode TimeoutStopFailureMode RuntimeRandomizedExtraSec RestartKillSignal FinalKillSignal "
        "SendSIGHUP ReloadSignal NotifyAccess ReloadLimitIntervalSec ReloadLimitBurst",
    ),
    "ExecCondition": _CONDITION,
    "BusName": "a name on D-Bus says nothing here: ready = takes a probe",
    "DynamicUser": 'no user is made: user = "name" takes one that exists',
    "Sockets": "listen = of the service holds its sockets; a folder of units brings the .socket along",
    "SendSIGKILL": "SIGKILL is always the last step of a stop",
}
"""Keys of the section Service."""

INSTALL: dict[str, str] = {
    "Alias": "a service has one name",
    "Also": "all services of a file are started",
    "DefaultInstance": "instances have numbers",
}
"""Keys of the section Install."""

TIMER: dict[str, str] = {
    "OnClockChange": "a schedule follows the clock anyway",
    "OnTimezoneChange": "a schedule keeps its time zone",
    "WakeSystem": "nothing wakes a machine that sleeps",
    "RemainAfterElapse": "a schedule lasts as long as its service",
    "FixedRandomDelay": "jitter differs from run to run",
}
"""Keys of the section Timer."""

SOCKET: dict[str, str] = {
    **_all(
        "listen = has TCP and UNIX stream sockets alone",
        "ListenDatagram ListenSequentialPacket ListenFIFO ListenNetlink ListenSpecial ListenMessageQueue "
        "ListenUSBFunction SocketProtocol MessageQueueMaxMessages MessageQueueMessageSize",
    ),
    **_all(
        "an option of the socket that listen = does not set",
        "BindIPv6Only BindToDevice KeepAlive KeepAliveTimeSec KeepAliveIntervalSec KeepAliveProbes DeferAcceptSec "
        "NoDelay Priority ReceiveBuffer SendBuffer IPTOS IPTTL Mark PipeSize FreeBind Transparent Broadcast "
        "PassCredentials PassSecurity PassPacketInfo PassFileDescriptorsToExec PassPIDFD PassRights "
        "AcceptFileDescriptors Timestamping TCPCongestion ReusePort Writable FlushPending SmackLabel SmackLabelIPIn "
        "SmackLabelIPOut SELinuxContextFromNet DirectoryMode Symlinks",
    ),
    **_all(
        "prepare = and cleanup = of the service take commands",
        "ExecStartPre ExecStartPost ExecStopPre ExecStopPost TimeoutSec",
    ),
    **_all(
        "the program takes its connections itself",
        "MaxConnections MaxConnectionsPerSource TriggerLimitIntervalSec TriggerLimitBurst PollLimitIntervalSec "
        "PollLimitBurst DeferTrigger DeferTriggerMaxSec",
    ),
    "SocketUser": "the socket belongs to the user who starts aioverseer: choose SocketMode= so that it does",
    "SocketGroup": "the socket belongs to the group of the user who starts aioverseer",
}
"""Keys of the section Socket."""


_UNKNOWN = "systemd has no such key here, and ignores it"


def reason(table: dict[str, str], key: str, unknown: str = _UNKNOWN) -> str:
    """Return why a key has no counterpart, also one that systemd does not have.

    Args:
        table: Table of the section.
        key: Key of the unit.
        unknown: Reason of a key that the table does not have.
    """
    if key.startswith("X-"):
        return "systemd ignores it as well"
    return table.get(key, unknown)
