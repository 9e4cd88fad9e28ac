using RepVgg.Runtime;

namespace RepVgg.Training.Data;

/// <summary>Images with a mask of the same size each, which has the label of every pixel.</summary>
internal sealed class MaskedSamples
{
    /// <summary>Creates a set.</summary>
    /// <param name="images">The images, of bytes. Their labels are not used.</param>
    /// <param name="masks">The masks in the same order, of bytes and one channel: 0 to classes - 1, or the ignored label.</param>
    /// <param name="classes">Number of classes.</param>
    /// <param name="ignored">The label of pixels that have none.</param>
    /// <exception cref="ArgumentException">Numbers or sizes of images and masks differ, or they are not of bytes.</exception>
    public MaskedSamples(ISampleSource images, ISampleSource masks, int classes, byte ignored)
    {
        (Images, Masks, Classes, Ignored) = (images, masks, classes, ignored);
        if (images.Count != masks.Count || masks.Channels != 1)
            throw new ArgumentException($"{images.Count} images need as many masks of one channel; there are {masks.Count} of {masks.Channels}.", nameof(masks));
        if (!images.AreBytes || !masks.AreBytes)
            throw new ArgumentException("Images and masks must be of bytes.", nameof(images));
        for (int i = 0; i < images.Count; i++)
        {
            if (images.SizeOf(i) != masks.SizeOf(i))
                throw new ArgumentException($"Row {images.RowOf(i)}: the mask is {masks.SizeOf(i).Width}x{masks.SizeOf(i).Height} pixels, its image {images.SizeOf(i).Width}x{images.SizeOf(i).Height}.", nameof(masks));
        }
    }

    /// <summary>The images.</summary>
    public ISampleSource Images { get; }

    /// <summary>The masks.</summary>
    public ISampleSource Masks { get; }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>The label of pixels that have none.</summary>
    public byte Ignored { get; }

    /// <summary>Number of images.</summary>
    public int Count => Images.Count;

    /// <summary>Whether a pixel of a mask has a label.</summary>
    public bool HasLabels()
    {
        byte[] buffer = [];
        for (int i = 0; i < Count; i++)
        {
            var (height, width) = Masks.SizeOf(i);
            if (buffer.Length < height * width)
                buffer = new byte[height * width];
            if (Masks.ReadBytes(i, buffer).ContainsAnyExcept(Ignored))
                return true;
        }
        return false;
    }

    /// <summary>Splits a set into two parts at random. Each part keeps the order of the set.</summary>
    /// <param name="fraction">Share of the second part, more than 0 and less than 1. Each part has at least one image.</param>
    /// <param name="seed">The same seed gives the same parts.</param>
    /// <exception cref="ArgumentException">The set has fewer than two images.</exception>
    public (MaskedSamples First, MaskedSamples Second) Split(double fraction, ulong seed)
    {
        if (Count < 2)
            throw new ArgumentException($"{Count} image cannot be split into a training and a validation set.");
        int[] order = [.. Enumerable.Range(0, Count)];
        new RandomStream(seed, RandomStream.Purpose.Split, 0).Shuffle(order);
        int second = Math.Clamp((int)Math.Round(Count * fraction), 1, Count - 1);
        return (Subset([.. order[second..].Order()]), Subset([.. order[..second].Order()]));
    }

    private MaskedSamples Subset(int[] indices) => new(new SampleSubset(Images, indices), new SampleSubset(Masks, indices), Classes, Ignored);
}
