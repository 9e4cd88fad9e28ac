namespace Microsoft.ML.RepVgg.Explanation;

/// <summary>Where the cells of a map lie along one axis, x or y, in the network's input and in the original image.</summary>
/// <remarks>
/// Positions in pixels are continuous: pixel i covers i to i + 1. A 3x3 convolution of stride 2 and padding 1 centres its output i on
/// its input 2 i, so cell c of the last map is centred on pixel <paramref name="Stride"/> * c of the input, whose middle is at
/// <paramref name="Stride"/> * c + 0.5. A convolution that is padded on one side only centres its output i on its input 2 i + 1, which shifts the cells by <paramref name="Shift"/>.
/// </remarks>
/// <param name="Stride">Distance between two cells in pixels of the network's input: the product of the strides of all blocks.</param>
/// <param name="Shift">Pixel of the network's input on which cell 0 is centred.</param>
/// <param name="InputLength">Length of the network's input in pixels.</param>
/// <param name="ImageLength">Length of the original image in pixels.</param>
/// <param name="Start">Position in the network's input at which the image starts; negative if the beginning of the image is cropped.</param>
/// <param name="Extent">Length of the whole image in the network's input, cropped parts included.</param>
internal readonly record struct MapAxis(int Stride, int Shift, int InputLength, int ImageLength, double Start, double Extent)
{
    /// <summary>Gets the position in the original image of the middle of a cell.</summary>
    public double ImageOfCell(double cell) => (Stride * cell + Shift + 0.5 - Start) * ImageLength / Extent;

    /// <summary>Gets the cells, with fractions, at the middles of pixels that divide the network's input into <paramref name="count"/> parts.</summary>
    public double[] CellsOfInput(int count)
    {
        var cells = new double[count];
        for (int i = 0; i < count; i++)
            cells[i] = CellOfInput((i + 0.5) * InputLength / count);
        return cells;
    }

    /// <summary>Gets the cells, with fractions, at the middles of the pixels of the original image; NaN for pixels outside the network's input.</summary>
    public double[] CellsOfImage()
    {
        var cells = new double[ImageLength];
        for (int i = 0; i < ImageLength; i++)
        {
            double position = Start + (i + 0.5) * Extent / ImageLength;
            cells[i] = position >= 0 && position < InputLength ? CellOfInput(position) : double.NaN;
        }
        return cells;
    }

    private double CellOfInput(double position) => (position - Shift - 0.5) / Stride;
}
