namespace Microsoft.ML.RepVgg;

/// <summary>Specifies how a row whose image or label is invalid is handled, in training and at scoring.</summary>
public enum InvalidRowHandling
{
    /// <summary>An <see cref="InvalidOperationException"/> is thrown; its message names the row, the file if a text column contains its path, and the reason.</summary>
    Error,

    /// <summary>
    /// In training, the row is skipped; if all rows of a class are, an <see cref="InvalidOperationException"/> is thrown. At scoring, it gets a missing prediction: key 0 and scores NaN. The rows are counted, and a
    /// warning in the log states the reason for the first one.
    /// </summary>
    Skip,
}
