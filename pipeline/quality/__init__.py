"""The numbers that judge the picture.

scenes, known     made scenes, and what is true of them
film, made        what the pipeline makes of one, and its row of numbers
real              the row of a real clip, whose truth nobody knows
joints, pixels, sound, detect     the measures
bars, bench       the numbers to hold, and all rows beside them
"""
