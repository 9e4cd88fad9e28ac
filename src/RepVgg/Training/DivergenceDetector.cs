namespace RepVgg.Training;

/// <summary>Tells a run that is lost from one that is merely rough.</summary>
/// <remarks>
/// Lost is a loss that is not finite, or a running mean (factor 0.9) above twenty times that of guessing, ln(classes):
/// batch normalisation keeps a network finite under absurd learning rates, but not its loss small.
/// </remarks>
internal sealed class DivergenceDetector(int classes)
{
    private const double Keep = 0.9, Limit = 20;

    private readonly double _guess = Math.Log(classes);
    private double _mean = Math.Log(classes);

    public void Check(double loss, int epoch, int step, float learningRate)
    {
        _mean = Keep * _mean + (1 - Keep) * loss;
        if (!double.IsFinite(loss) || _mean > Limit * _guess)
            throw new TrainingDivergedException(epoch, step, loss, learningRate);
    }
}
