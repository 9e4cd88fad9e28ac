using Microsoft.ML.Runtime;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Writes the messages of trainers to ML.NET's log.</summary>
internal static class TrainingLog
{
    /// <summary>Writes a message.</summary>
    /// <param name="channel">The log; null for none.</param>
    /// <param name="text">The message, which may contain user data.</param>
    /// <param name="isWarning">Whether it is a warning.</param>
    public static void Log(IChannel? channel, string text, bool isWarning)
    {
        if (isWarning)
            channel?.Warning(MessageSensitivity.UserData, "{0}", text);
        else
            channel?.Info(MessageSensitivity.UserData, "{0}", text);
    }
}
