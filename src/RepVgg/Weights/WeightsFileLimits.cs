using RepVgg.Architectures;

namespace RepVgg.Weights;

/// <summary>Limits on what a file may ask for, so that a small file cannot take much memory. They are checked before memory is allocated.</summary>
/// <remarks>
/// A file of a few hundred bytes can claim images of any size. The limits are far above what RepVGG networks are used with; raise them for
/// files that really need more. Networks that are built in code are not limited. Weights need no limit of their own: every format is
/// checked against the length of the file.
/// </remarks>
public sealed record WeightsFileLimits
{
    /// <summary>Maximum height and width of an image in pixels, 1 to 65,535.</summary>
    public int MaximumImageSide { get; init; } = 8192;

    /// <summary>Maximum number of values of an image, which is channels x height x width, 1 to 2^29. The default is 2^26, 256 MiB as floats.</summary>
    public long MaximumImageValues { get; init; } = 1 << 26;

    /// <summary>Maximum size in bytes of the memory that an engine needs to run one image, which are the image and the feature maps; 1 or more. The default is 2^30, 1 GiB.</summary>
    public long MaximumWorkspaceBytes { get; init; } = 1 << 30;

    /// <summary>Throws an exception if a limit is out of range.</summary>
    /// <exception cref="ArgumentException">A limit is out of range.</exception>
    internal void Check()
    {
        if (MaximumImageSide is < 1 or > ArchitectureValidation.MaximumImageSide)
            throw new ArgumentException($"WeightsFileLimits.MaximumImageSide is {MaximumImageSide}; it must be 1 to {ArchitectureValidation.MaximumImageSide}.");
        if (MaximumImageValues is < 1 or > ArchitectureValidation.MaximumImageValues)
            throw new ArgumentException($"WeightsFileLimits.MaximumImageValues is {MaximumImageValues}; it must be 1 to {ArchitectureValidation.MaximumImageValues}.");
        if (MaximumWorkspaceBytes < 1)
            throw new ArgumentException($"WeightsFileLimits.MaximumWorkspaceBytes is {MaximumWorkspaceBytes}; it must be 1 or more.");
    }

    /// <summary>Throws an exception if images are larger than the limits.</summary>
    /// <exception cref="InvalidDataException">The images are too large. The message contains only the reason.</exception>
    internal void CheckImage(int channels, long height, long width)
    {
        if (height > MaximumImageSide || width > MaximumImageSide)
            throw new InvalidDataException($"images of {height} x {width} pixels (height x width) are too large: the limit is {MaximumImageSide} pixels per side, see WeightsFileLimits.MaximumImageSide");
        if (channels * height * width > MaximumImageValues)
            throw new InvalidDataException($"images of {channels} channels and {height} x {width} pixels are too large: they have {channels * height * width} values, and the limit is {MaximumImageValues}, see WeightsFileLimits.MaximumImageValues");
    }
}
