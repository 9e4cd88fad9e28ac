using Microsoft.ML.Runtime;

namespace Microsoft.ML;

/// <summary>A message of <see cref="MLContext.Log"/>.</summary>
public class LoggingEventArgs : EventArgs
{
    public LoggingEventArgs(string message)
    {
        Message = message;
    }

    public LoggingEventArgs(string message, ChannelMessageKind kind, string source)
    {
        RawMessage = message;
        Kind = kind;
        Source = source;
        Message = $"[Source={source}, Kind={kind}] {message}";
    }

    /// <summary>The name of the channel, after the names of those who opened it.</summary>
    public string Source { get; }

    public ChannelMessageKind Kind { get; }

    /// <summary>The message with its source and kind before it.</summary>
    public string Message { get; }

    public string RawMessage { get; }
}
