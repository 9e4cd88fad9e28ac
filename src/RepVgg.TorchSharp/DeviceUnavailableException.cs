namespace RepVgg.TorchSharp;

/// <summary>A device cannot be used; the message says why and what to do.</summary>
/// <param name="message">The reason.</param>
/// <param name="innerException">What led to it.</param>
public sealed class DeviceUnavailableException(string message, Exception? innerException = null) : InvalidOperationException(message, innerException)
{
    /// <summary>Whether the device is there but failed the self-test.</summary>
    public bool ComputesWrongNumbers { get; internal init; }
}
