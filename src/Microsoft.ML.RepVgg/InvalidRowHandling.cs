namespace Microsoft.ML.RepVgg;

/// <summary>What training does with a row whose image or label cannot be used.</summary>
public enum InvalidRowHandling
{
    /// <summary>It ends with an error that names the row and the reason.</summary>
    Error,

    /// <summary>It leaves the row out, counts it, and logs how many there were and the first one's reason.</summary>
    Skip,
}
