using System.Collections.Concurrent;
using System.Diagnostics;

namespace Microsoft.ML.Runtime;

/// <summary>
/// The environment behind an <see cref="MLContext"/>, and the hosts registered with it. Every host shares the
/// listeners and the options of the root and draws the seed of its random numbers from its parent's.
/// </summary>
internal sealed class HostEnvironment : IHost, IHostEnvironmentInternal
{
    private readonly Shared _shared;
    private readonly Lock _registering = new();
    private readonly HostEnvironment _parent;
    private readonly string _parentName;
    private readonly string _shortName;

    internal HostEnvironment(int? seed)
    {
        _shared = new Shared(seed);
        Rand = seed is int value ? new Random(value) : new Random();
        TempFilePath = Path.GetTempPath();
    }

    private HostEnvironment(HostEnvironment parent, string name, Random random)
    {
        _shared = parent._shared;
        _parent = parent;

        // As in ML.NET, the name begins with that of the parent's parent.
        _parentName = parent._parent?.FullName;
        _shortName = name;
        Rand = random;
        TempFilePath = parent.TempFilePath;
        GpuDeviceId = parent.GpuDeviceId;
        FallbackToCpu = parent.FallbackToCpu;
    }

    /// <summary>Raised for every message, with the full name of the channel that sent it.</summary>
    internal event Action<string, ChannelMessage> Message
    {
        add => _shared.Listeners += value;
        remove => _shared.Listeners -= value;
    }

    public Random Rand { get; }

    public ComponentCatalog ComponentCatalog => _shared.Catalog;

    public int? Seed => _shared.Seed;

    public string TempFilePath { get; set; }

    public int? GpuDeviceId { get; set; }

    public bool FallbackToCpu { get; set; }

    public string ContextDescription => "HostEnvironment";

    internal string FullName => string.IsNullOrEmpty(_parentName) ? _shortName : $"{_parentName}; {_shortName}";

    public IHost Register(string name, int? seed = null, bool? verbose = null)
    {
        Check.NotEmpty(name, nameof(name));
        lock (_registering)
        {
            return new HostEnvironment(this, name, new Random(seed ?? Rand.Next()));
        }
    }

    public IChannel Start(string name) => new Channel(this, name);

    public IPipe<TMessage> StartPipe<TMessage>(string name) => new SilentPipe<TMessage>(this);

    public IProgressChannel StartProgressChannel(string name)
    {
        Check.NotEmpty(name, nameof(name));
        return new SilentProgress();
    }

    public TException Process<TException>(TException ex)
        where TException : Exception
    {
        if (ex is not null)
        {
            ex.Data["Throwing component"] = "Environment";
        }

        return ex;
    }

    public bool TryAddOption<T>(string name, T value) => _shared.Options.TryAdd(name, value);

    public void SetOption<T>(string name, T value) => _shared.Options[name] = value;

    public bool TryGetOption<T>(string name, out T value)
    {
        bool found = _shared.Options.TryGetValue(name, out object boxed);
        value = found ? (T)boxed : default;
        return found;
    }

    public T GetOptionOrDefault<T>(string name) => TryGetOption(name, out T value) ? value : default;

    public bool RemoveOption(string name) => _shared.Options.TryRemove(name, out _);

    private sealed class Shared(int? seed)
    {
        internal int? Seed { get; } = seed;

        internal ComponentCatalog Catalog { get; } = new();

        internal ConcurrentDictionary<string, object> Options { get; } = new();

        internal Action<string, ChannelMessage> Listeners { get; set; }
    }

    private sealed class Channel : IChannel
    {
        private readonly HostEnvironment _owner;
        private readonly string _name;
        private readonly long _started = Stopwatch.GetTimestamp();
        private bool _disposed;

        internal Channel(HostEnvironment owner, string name)
        {
            _owner = owner;
            _name = name;
            ContextDescription = string.IsNullOrEmpty(owner.FullName) ? name : $"{owner.FullName}; {name}";
            Trace(MessageSensitivity.None, "Channel started");
        }

        public string ContextDescription { get; }

        public void Dispose()
        {
            if (!_disposed)
            {
                _disposed = true;
                Trace(
                    MessageSensitivity.None, "Channel finished. Elapsed {0:c}.", Stopwatch.GetElapsedTime(_started));
                Trace(MessageSensitivity.None, "Channel disposed");
            }
        }

        public void Send(ChannelMessage msg) => _owner._shared.Listeners?.Invoke(ContextDescription, msg);

        public TException Process<TException>(TException ex)
            where TException : Exception
        {
            if (ex is not null)
            {
                ex.Data["Throwing component"] = _owner._shortName;
                ex.Data["Parent component"] = _owner._parentName;
                ex.Data["Phase"] = _name;
            }

            return ex;
        }

        public void Trace(MessageSensitivity sensitivity, string fmt) =>
            Send(new ChannelMessage(ChannelMessageKind.Trace, sensitivity, fmt));

        public void Trace(MessageSensitivity sensitivity, string fmt, params object[] args) =>
            Send(new ChannelMessage(ChannelMessageKind.Trace, sensitivity, fmt, args));

        public void Error(MessageSensitivity sensitivity, string fmt) =>
            Send(new ChannelMessage(ChannelMessageKind.Error, sensitivity, fmt));

        public void Error(MessageSensitivity sensitivity, string fmt, params object[] args) =>
            Send(new ChannelMessage(ChannelMessageKind.Error, sensitivity, fmt, args));

        public void Warning(MessageSensitivity sensitivity, string fmt) =>
            Send(new ChannelMessage(ChannelMessageKind.Warning, sensitivity, fmt));

        public void Warning(MessageSensitivity sensitivity, string fmt, params object[] args) =>
            Send(new ChannelMessage(ChannelMessageKind.Warning, sensitivity, fmt, args));

        public void Info(MessageSensitivity sensitivity, string fmt) =>
            Send(new ChannelMessage(ChannelMessageKind.Info, sensitivity, fmt));

        public void Info(MessageSensitivity sensitivity, string fmt, params object[] args) =>
            Send(new ChannelMessage(ChannelMessageKind.Info, sensitivity, fmt, args));
    }

    /// <summary>Pipes other than text channels have no public listener.</summary>
    private sealed class SilentPipe<TMessage>(HostEnvironment owner) : IPipe<TMessage>
    {
        public string ContextDescription => owner.ContextDescription;

        public void Dispose()
        {
        }

        public void Send(TMessage msg)
        {
        }

        public TException Process<TException>(TException ex)
            where TException : Exception => owner.Process(ex);
    }

    /// <summary>Progress never reaches <see cref="MLContext.Log"/>; it is accepted and dropped.</summary>
    private sealed class SilentProgress : IProgressChannel
    {
        private bool _disposed;

        public void Dispose() => _disposed = true;

        public void SetHeader(ProgressHeader header, Action<IProgressEntry> fillAction)
        {
        }

        public void Checkpoint(params double?[] values)
        {
            if (_disposed)
            {
                throw new InvalidOperationException("Can't report checkpoints after disposing");
            }
        }

        public IProgressChannel StartProgressChannel(string name) => new SilentProgress();
    }
}
