namespace RepVgg.Training.Data;

/// <summary>A set of labelled images for a network, read by index. They have the network's size, or their own sizes if the augmentation cuts parts out of them. Implementations must be thread-safe for reading; a read may access the disk.</summary>
internal interface ISampleSource
{
    /// <summary>Number of samples.</summary>
    int Count { get; }

    /// <summary>Channels of every image: 1 or 3 (R, G, B).</summary>
    int Channels { get; }

    /// <summary>Height of the network's input, in pixels.</summary>
    int Height { get; }

    /// <summary>Width of the network's input, in pixels.</summary>
    int Width { get; }

    /// <summary>Number of classes; labels are 0 .. Classes - 1.</summary>
    int Classes { get; }

    /// <summary>Returns the size of one image, in pixels.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <returns>The size; that of the network's input unless the images have their own sizes.</returns>
    (int Height, int Width) SizeOf(int index) => (Height, Width);

    /// <summary>Whether all images are bytes, so that <see cref="ReadBytes"/> never returns an empty span.</summary>
    bool AreBytes => false;

    /// <summary>Copies one image to <paramref name="pixels"/> and returns its label.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <param name="pixels">Receives the raw values (usually 0..255), CHW: Channels * height * width of <see cref="SizeOf"/>.</param>
    /// <returns>The label.</returns>
    int Read(int index, Span<float> pixels);

    /// <summary>Gets the pixels of one image whose values are stored as bytes, without converting them to floats.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <param name="buffer">Memory for the bytes, as many as there are pixel values, which is used if the pixels are not in memory.</param>
    /// <returns>The pixels, CHW, in the source's memory or in <paramref name="buffer"/>; an empty span if the image is not stored as bytes, and <see cref="Read"/> must be used.</returns>
    ReadOnlySpan<byte> ReadBytes(int index, Span<byte> buffer) => [];

    /// <summary>Gets a SHA-256 hash of the pixels of one image, if it was computed when the image was read, so that the pixels need not be read again to compare runs.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <returns>The hash; empty if there is none.</returns>
    ReadOnlySpan<byte> HashOf(int index) => [];

    /// <summary>Returns the label of one image without reading its pixels.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <returns>The label.</returns>
    int LabelOf(int index);

    /// <summary>Whether an image has another weight than 1.</summary>
    bool HasWeights => false;

    /// <summary>Returns the weight of one image in the training loss, more than 0.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <returns>The weight.</returns>
    float WeightOf(int index) => 1;

    /// <summary>Returns the row that one image was read from, for messages.</summary>
    /// <param name="index">0 .. Count - 1.</param>
    /// <returns>The row, from 0; the index if the source does not know it.</returns>
    long RowOf(int index) => index;
}
