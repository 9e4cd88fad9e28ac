namespace RepVgg.TorchSharp;

/// <summary>The exception that is thrown when a training device cannot be used. The message contains the reason and a remedy.</summary>
/// <param name="message">The reason.</param>
/// <param name="innerException">The exception that caused it, or null.</param>
public sealed class DeviceUnavailableException(string message, Exception? innerException = null) : InvalidOperationException(message, innerException)
{
    /// <summary>Whether the device is available but failed the self-test.</summary>
    public bool ComputesWrongNumbers { get; internal init; }
}
