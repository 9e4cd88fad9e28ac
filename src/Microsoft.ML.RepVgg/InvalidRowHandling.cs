namespace Microsoft.ML.RepVgg;

/// <summary>Specifies how training handles a row whose image or label is invalid.</summary>
public enum InvalidRowHandling
{
    /// <summary>Fit throws <see cref="InvalidOperationException"/>; the message names the row and the reason.</summary>
    Error,

    /// <summary>The row is skipped. A warning in the log states the number of skipped rows and the reason for the first one.</summary>
    Skip,
}
